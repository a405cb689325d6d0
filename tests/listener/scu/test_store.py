"""What we learn when we send to a peer or ask it for something."""

from __future__ import annotations

import dataclasses
import socket
import subprocess
import threading

import pydicom
import pytest
from pydicom.uid import UID
from pynetdicom import AE, evt

from listener.access import AllowedPeer
from listener.errors import (
    AssociationAbortedError,
    InvalidInstanceError,
    NoPresentationContextError,
    PeerUnreachableError,
    QueryFailedError,
)
from listener.scu import Peer, StoreAbortedError, StoreCategory, echo, find, get, move, store
from tests.factories.servers import port_of, start_server
from tests.listener.conftest import CT, bundled, data_set_of, dcmtk, free_port, peer_of, wait_for


@pytest.fixture
def answering():
    """A peer that answers each C-STORE with the next of some statuses."""
    servers = []

    def start(*statuses: int, abort_at: int | None = None) -> Peer:
        left = list(statuses)

        def handle(event):
            if abort_at is not None and len(statuses) - len(left) == abort_at:
                event.assoc.abort()
                return 0
            return left.pop(0)

        server = AE("PEER")
        server.add_supported_context(CT, "1.2.840.10008.1.2.1")
        servers.append(start_server(server, handlers=[(evt.EVT_C_STORE, handle)]))
        return Peer("PEER", "127.0.0.1", port_of(servers[-1]))

    yield start
    for server in servers:
        server.shutdown()


def test_every_status_of_the_peer_comes_back_with_its_meaning(answering, make_ct):
    peer = answering(0x0000, 0xB000, 0xA700, 0xC123)
    outcomes = store(peer, [make_ct("1.2.3", "1.2.3.1") for _ in range(4)])
    assert [outcome.status for outcome in outcomes] == [0x0000, 0xB000, 0xA700, 0xC123]
    assert [outcome.category for outcome in outcomes] == [
        StoreCategory.SUCCESS,
        StoreCategory.WARNING,
        StoreCategory.REFUSED,
        StoreCategory.REFUSED,
    ]


def test_an_instance_the_peer_has_no_context_for_is_refused_and_the_others_sent(answering, make_ct):
    peer = answering(0, 0)
    paths = [make_ct("1.2.3", "1.2.3.1"), bundled("MR_small.dcm"), make_ct("1.2.3", "1.2.3.1")]
    outcomes = store(peer, paths)
    assert [outcome.status for outcome in outcomes] == [0, 0x0122, 0]
    assert "MR Image Storage" in outcomes[1].comment


def test_a_peer_that_takes_nothing_of_what_is_sent_is_an_error_once(answering):
    with pytest.raises(NoPresentationContextError):
        store(answering(), [bundled("MR_small.dcm")])


def test_an_abort_in_the_middle_tells_what_was_answered_before(answering, make_ct):
    peer = answering(0, 0, 0, 0, abort_at=2)
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(4)]
    with pytest.raises(StoreAbortedError) as caught:
        store(peer, paths)
    assert [outcome.status for outcome in caught.value.outcomes] == [0, 0]


def test_nobody_listening_is_unreachable():
    with pytest.raises(PeerUnreachableError, match="can't be reached"):
        echo(Peer("PEER", "127.0.0.1", free_port()))


def test_a_peer_that_never_answers_is_unreachable_after_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = Peer("PEER", "127.0.0.1", silent.getsockname()[1], acse_timeout_s=0.3)
        with pytest.raises(PeerUnreachableError, match="did not answer"):
            echo(peer)


def test_a_peer_that_hangs_up_is_no_endless_loop():
    with socket.create_server(("127.0.0.1", 0)) as server:
        hang_up = threading.Thread(target=lambda: server.accept()[0].close())
        hang_up.start()
        with pytest.raises(AssociationAbortedError, match="while the association was negotiated"):
            echo(Peer("PEER", "127.0.0.1", server.getsockname()[1], acse_timeout_s=60))
        hang_up.join()


def test_a_file_that_is_not_dicom_is_an_error_before_anything_is_sent(tmp_path, answering):
    path = tmp_path / "note.txt"
    path.write_text("not DICOM")
    with pytest.raises(InvalidInstanceError):
        store(answering(), [path])


def test_more_than_128_kinds_are_sent_over_several_associations(tmp_path, start_scp, make_ct):
    dataset = pydicom.dcmread(make_ct("1.2.3", "1.2.3.1"))
    paths = []
    for number in range(130):
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(f"1.2.3.9.{number}")
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1])
    known = make_ct("1.2.3", "1.2.3.1")
    outcomes = store(peer_of(start_scp()), [*paths, known])
    assert [outcome.status for outcome in outcomes] == [0x0122] * 130 + [0]


def test_dcmtk_storescp_receives_the_file_as_it_is_encoded(tmp_path, make_ct):
    port = free_port()
    folder = tmp_path / "received"
    folder.mkdir()
    process = subprocess.Popen(
        [dcmtk("storescp"), "+B", "-aet", "PEER", "-od", str(folder), str(port)]
    )
    try:
        peer = Peer("PEER", "127.0.0.1", port)
        wait_for(peer, process)
        path = make_ct("1.2.3", "1.2.3.1")
        (outcome,) = store(peer, [path])
        assert outcome.category is StoreCategory.SUCCESS
        (kept,) = folder.iterdir()
        assert data_set_of(kept) == data_set_of(path)
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_pacs_takes_a_study_finds_it_and_gives_it_back(pacs, make_ct, tmp_path):
    paths = [make_ct("1.2.3", f"1.2.3.{number}") for number in (1, 2, 2)]
    assert all(outcome.status == 0 for outcome in store(pacs.peer, paths))
    studies = find(pacs.peer, "STUDY", {"StudyInstanceUID": "1.2.3"}, return_keys=["PatientID"])
    assert {study.StudyInstanceUID for study in studies} == {"1.2.3"}
    series = find(pacs.peer, "SERIES", {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": ""})
    assert {item.SeriesInstanceUID for item in series} == {"1.2.3.1", "1.2.3.2"}
    images = find(pacs.peer, "IMAGE", {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.2"})
    assert len(images) == 2
    files = get(pacs.peer, "1.2.3", tmp_path / "back")
    sent = {pydicom.dcmread(path).SOPInstanceUID for path in paths}
    assert {pydicom.dcmread(path).SOPInstanceUID for path in files} == sent


def test_a_pacs_moves_a_study_to_the_node(pacs, make_ct, start_scp, spool):
    paths = [make_ct("1.2.30", "1.2.30.1") for _ in range(3)]
    store(pacs.peer, paths)
    start_scp(port=pacs.destination_port)
    result = move(pacs.peer, "1.2.30", "NODE")
    assert (result.completed, result.failed) == (3, 0)
    assert len(spool.instances("1.2.30")) == 3


def test_a_move_to_a_destination_that_the_pacs_does_not_know_says_so(pacs, make_ct):
    store(pacs.peer, [make_ct("1.2.30", "1.2.30.1")])
    with pytest.raises(QueryFailedError) as caught:
        move(pacs.peer, "1.2.30", "NOWHERE")
    assert caught.value.status == 0xA801


def test_a_find_with_more_answers_than_the_limit_is_given_up(pacs, make_ct):
    store(pacs.peer, [make_ct(f"1.2.{number}", f"1.2.{number}.1") for number in range(3, 6)])
    with pytest.raises(QueryFailedError, match="over 2 matches"):
        find(pacs.peer, "STUDY", {"StudyInstanceUID": ""}, limit=2)


def test_a_peer_that_does_not_know_us_and_one_that_is_away_are_told_apart(start_scp):
    scp = start_scp(peers=(AllowedPeer("other", "OTHER"),))
    from listener.errors import AssociationRejectedError

    with pytest.raises(AssociationRejectedError) as caught:
        echo(peer_of(scp))
    assert not caught.value.transient
    away = dataclasses.replace(peer_of(scp), port=free_port())
    with pytest.raises(PeerUnreachableError):
        echo(away)
