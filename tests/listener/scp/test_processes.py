"""Several processes on one port: they share limits and counts, and lose nothing when one dies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from pynetdicom import AE

from listener.access import AllowedPeer, PeerLimits, Permission
from listener.errors import AssociationAbortedError, CommitmentRefusedError, PeerError
from listener.processes.pool import ListenerProcesses
from listener.scp.rate_limit import SharedPace
from listener.scp.shared_limits import Place, Shared
from listener.scu.commitment import CommitmentReport, Reference, request_commitment, send_report
from listener.scu.store import Peer, StoreOutcome, echo, store
from listener.settings import ListenerSettings
from listener.spool.spool import Spool
from tests.listener.conftest import ANYONE, CT, data_set_of
from tests.listener.scp.test_bad_peers import wait_until

LIMIT_S = 30.0


@pytest.fixture
def start_processes(spool: Spool) -> Iterator[Callable[..., ListenerProcesses]]:
    with ExitStack() as stack:

        def start(on_stored=None, *, processes: int = 2, **options) -> ListenerProcesses:
            names = ("on_association_end", "call_back", "on_commitment")
            own = {name: options.pop(name) for name in names if name in options}
            chosen = {"ae_title": "NODE", "port": 0, "min_free_bytes": 0, "stop_timeout_s": 5.0}
            stranger = None if "peers" in options else ANYONE
            settings = ListenerSettings(**(chosen | {"stranger": stranger} | options))
            return stack.enter_context(
                ListenerProcesses(settings, spool, processes, on_stored, **own)
            )

        yield start


def peer_at(listener: ListenerProcesses, *, calling: str = "MODALITY") -> Peer:
    return Peer("NODE", "127.0.0.1", listener.port, calling_ae_title=calling, dimse_timeout_s=60)


def test_all_processes_store_into_one_spool_and_what_they_count_adds_up(
    start_processes, spool, make_ct
):
    told, ends = [], []
    listener = start_processes(told.append, on_association_end=ends.append)
    assert len(set(listener.process_ids)) == 2
    batches = [[make_ct("1.2.3", f"1.2.3.{n}") for _ in range(2)] for n in range(1, 17)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: store(peer_at(listener), batch), batches))
    assert {outcome.status for answer in answers for outcome in answer} == {0}
    assert len(spool.instances("1.2.3")) == 32
    wait_until(lambda: listener.open_associations == 0, "the associations to end")
    counted = listener.statistics
    assert (counted.stored, counted.associations, counted.aborted) == (32, 16, 0)
    listener.stop()
    assert len(told) == 32
    assert len(ends) == 16
    assert all(end.released for end in ends)


def test_an_instance_is_told_before_it_is_acknowledged_or_soon_after(start_processes, make_ct):
    told = threading.Event()
    listener = start_processes(lambda _: told.set())
    assert store(peer_at(listener), [make_ct("1.2.3", "1.2.3.1")])[0].status == 0
    assert told.wait(LIMIT_S)


def test_a_peers_limit_of_associations_holds_for_all_processes_together(start_processes):
    peers = (AllowedPeer("ct1", "CT1", limits=PeerLimits(associations=3)),)
    listener = start_processes(peers=peers)
    sender = AE("CT1")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = [sender.associate("127.0.0.1", listener.port, ae_title="NODE") for _ in range(8)]
    assert sum(association.is_established for association in held) == 3
    assert listener.statistics.rejected_peer_limit == 5
    for association in held:
        if association.is_established:
            association.release()
    wait_until(lambda: listener.open_associations == 0, "the associations to end")
    assert echo(peer_at(listener, calling="CT1")).round_trip_s > 0


def test_the_nodes_limit_of_associations_holds_for_all_processes_together(start_processes):
    listener = start_processes(max_associations=2)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = [sender.associate("127.0.0.1", listener.port, ae_title="NODE") for _ in range(6)]
    assert sum(association.is_established for association in held) == 2
    # what the library rejects itself is counted after it has answered
    wait_until(lambda: listener.statistics.rejected_other >= 4, "the rejections to be counted")
    assert listener.statistics.rejected_other == 4
    for association in held:
        association.abort()


def test_places_are_given_back_and_end_with_their_holder(tmp_path):
    shared = Shared(tmp_path, associations=2)
    first, second, third = Place(), Place(), Place()
    assert shared.has_room(first)
    assert shared.has_room(second)
    assert not shared.has_room(third)
    first.give_back()
    assert shared.has_room(third)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            second.give_back()  # a copy of the lock is not the lock's end
        os._exit(0)
    os.waitpid(child, 0)
    assert not shared.has_room(first)


def test_a_rate_holds_for_all_processes_together(tmp_path):
    one, other = SharedPace(tmp_path / "pace", 10), SharedPace(tmp_path / "pace", 10)
    waits = [pace.wait_s() for _ in range(20) for pace in (one, other)]
    assert waits[0] <= 0.1 + 1e-6  # what the clock has of digits
    assert 1.9 < waits[-1] <= 4.0


def killing(listener: ListenerProcesses, stop: threading.Event) -> None:
    while not stop.wait(0.7):
        for process_id in listener.process_ids[:1]:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGKILL)


def send_until_all_are_in(peer: Peer, paths: list[Path]) -> list[StoreOutcome]:
    outcomes: list[StoreOutcome] = []
    deadline = time.monotonic() + 2 * LIMIT_S
    while len(outcomes) < len(paths) and time.monotonic() < deadline:
        try:
            outcomes += store(peer, paths[len(outcomes) :])
        except AssociationAbortedError as error:
            outcomes += error.outcomes
        except PeerError:
            time.sleep(0.05)
    return outcomes


def test_a_process_that_is_killed_is_started_again_and_nothing_acknowledged_is_lost(
    start_processes, spool, make_ct
):
    told = []
    listener = start_processes(told.append)
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(120)]
    stop = threading.Event()
    killer = threading.Thread(target=killing, args=(listener, stop))
    killer.start()
    outcomes = send_until_all_are_in(peer_at(listener), paths)
    stop.set()
    killer.join()
    acknowledged = {outcome.sop_instance_uid for outcome in outcomes if outcome.status == 0}
    assert len(acknowledged) == len(paths)
    kept = {instance.sop_instance_uid: instance.path for instance in spool.instances("1.2.3")}
    assert acknowledged <= kept.keys()
    by_content = {data_set_of(path) for path in paths}
    assert all(data_set_of(path) in by_content for path in kept.values())
    wait_until(lambda: listener.is_listening, "the process to be back")
    listener.stop()
    assert acknowledged <= {instance.sop_instance_uid for instance in told}


def test_stopping_ends_all_processes_and_frees_the_port(start_processes, spool):
    listener = start_processes()
    port, process_ids = listener.port, listener.process_ids
    listener.stop()
    assert not any(Path(f"/proc/{process_id}").exists() for process_id in process_ids)
    assert not listener.is_listening
    again = start_processes(port=port)
    assert again.port == port


def test_a_port_that_someone_else_listens_on_is_not_shared_with_him(start_processes, start_scp):
    other = start_scp()
    with pytest.raises(OSError, match="in use"):
        start_processes(port=other.port)


def test_commitment_is_asked_for_and_reported_as_with_one_process(start_processes, make_ct):
    reports = []
    may = frozenset({Permission.STORE, Permission.COMMITMENT, Permission.REPORT})
    listener = start_processes(
        call_back={}, on_commitment=reports.append, peers=(AllowedPeer("ct1", "MODALITY", may=may),)
    )
    path = make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.1")
    store(peer_at(listener), [path])
    asked = (Reference(CT, "1.2.3.1.1"),)
    report = request_commitment(
        peer_at(listener), asked, transaction_uid="1.2.3.4.5", wait_s=LIMIT_S
    )
    assert report == CommitmentReport("1.2.3.4.5", asked, ())
    send_report(peer_at(listener), CommitmentReport("1.2.9", asked, ()))
    assert [report.transaction_uid for report in reports] == ["1.2.9"]


def test_a_report_that_can_not_be_noted_is_answered_as_a_failure(start_processes):
    def fail(_report):
        raise RuntimeError("the database is away")

    may = frozenset({Permission.REPORT})
    listener = start_processes(
        on_commitment=fail, peers=(AllowedPeer("pacs", "MODALITY", may=may),)
    )
    with pytest.raises(CommitmentRefusedError, match="0110H"):
        send_report(peer_at(listener), CommitmentReport("1.2.9", (), ()))
