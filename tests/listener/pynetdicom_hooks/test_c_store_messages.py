"""The receive loop: whatever way a peer cuts its messages, and whatever it sends instead."""

from __future__ import annotations

import os
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom import AE
from pynetdicom.acse import ACSE
from pynetdicom.association import Association
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dul import DULServiceProvider

from listener.scu import echo
from tests.conftest import soak_rounds, wait_until
from tests.listener.conftest import CT, bundled, data_set_of, dcmtk, peer_of
from tests.listener.scp.test_bad_peers import associations_threads
from tests.listener.wire import (
    ABORT,
    CONTEXT_ID,
    P_DATA_TF,
    RELEASE,
    RELEASE_RP,
    VERIFICATION_ID,
    Value,
    echo_command,
    pdu,
    store_command,
    wire_to,
)

STUDY, SERIES = "1.2.3", "1.2.3.1"


def cut(data: bytes, *, command: bool, sizes: Sequence[int]) -> list[Value]:
    """Values of these lengths, then the rest in one."""
    values = []
    for size in sizes:
        values.append(Value(data[:size], command, last=False))
        data = data[size:]
    return [*values, Value(data, command, last=True)]


def packed(values: Sequence[Value], counts: Sequence[int]) -> list[bytes]:
    """PDUs of these numbers of values, then the rest in one."""
    pdus, rest = [], list(values)
    for count in counts:
        if len(rest) > count:
            pdus.append(pdu(rest[:count]))
            rest = rest[count:]
    return [*pdus, pdu(rest)]


def cuts(size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, size), max_size=8)


@st.composite
def streams(
    draw: st.DrawFn, contents: Sequence[tuple[str, bytes]]
) -> tuple[list[str], list[bytes]]:
    """C-STORE requests for some UIDs in PDUs, cut and packed in any way the standard allows."""
    pdus = []
    chosen = draw(st.lists(st.sampled_from(contents), min_size=1, max_size=3))
    for uid, data in chosen:
        values = cut(store_command(uid), command=True, sizes=draw(cuts(200)))
        values += cut(data, command=False, sizes=draw(cuts(len(data))))
        pdus += packed(values, draw(st.lists(st.integers(1, 4), max_size=6)))
    return [uid for uid, _ in chosen], pdus


@pytest.fixture
def contents(make_ct) -> list[tuple[str, bytes]]:
    uids = [f"{SERIES}.{number}" for number in range(1, 4)]
    return [(uid, data_set_of(make_ct(STUDY, SERIES, sop=uid, shade=0))) for uid in uids]


def fuzzed(short: int) -> settings:
    return settings(
        max_examples=soak_rounds(short=short, long=20_000),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.soak
def test_messages_cut_in_any_way_are_stored_as_they_were(start_scp, spool, contents):
    scp = start_scp()

    @fuzzed(60)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        uids, pdus = data.draw(streams(contents))
        with wire_to(scp.port) as wire:
            wire.send(b"".join(pdus) + RELEASE, pieces=data.draw(cuts(3000)))
            heard = wire.hear_all()
        assert heard.kinds[-1] == RELEASE_RP
        assert heard.stored == uids
        for uid in uids:
            (kept,) = (i for i in spool.instances(STUDY) if i.sop_instance_uid == uid)
            assert data_set_of(kept.path) == dict(contents)[uid]

    fuzz()


@st.composite
def broken(draw: st.DrawFn, pdus: list[bytes]) -> bytes:
    """The same with something wrong at one place."""
    at = draw(st.integers(0, len(pdus) - 1))
    chosen = bytearray(pdus[at])
    match draw(st.sampled_from(("flip", "cut", "length", "lost", "twice", "swapped", "other"))):
        case "flip":
            place = draw(st.integers(0, min(len(chosen), 300) - 1))
            chosen[place] ^= 1 << draw(st.integers(0, 7))
        case "cut":
            del chosen[draw(st.integers(0, len(chosen))) :]
        case "length":
            wrong = draw(st.integers(0, 2**32 - 1) | st.integers(0, 300))
            place = draw(st.sampled_from((2, 6)))
            chosen[place : place + 4] = struct.pack(">L", wrong)
        case "lost":
            chosen = bytearray()
        case "twice":
            chosen *= 2
        case "swapped":
            other = draw(st.integers(0, len(pdus) - 1))
            pdus = [*pdus]
            chosen, pdus[other] = bytearray(pdus[other]), bytes(chosen)
        case "other":
            chosen += draw(
                st.sampled_from(
                    (
                        RELEASE,
                        struct.pack(">BBLBBBB", ABORT, 0, 4, 0, 0, 0, 0),
                        struct.pack(">BBL", 0x09, 0, 4) + bytes(4),
                        struct.pack(">BBL", 0x01, 0, 68) + bytes(68),
                        pdu([Value(echo_command(), True, True, VERIFICATION_ID)]),
                        pdu([Value(store_command("1.2.9"), True, True, 99)]),
                        pdu([Value(b"\xff" * 30, True, True)]),
                        pdu([Value(b"", True, True), Value(b"", False, True)]),
                        pdu([Value(bytes(50), False, False, VERIFICATION_ID)]),
                    )
                )
            )
    return b"".join([*pdus[:at], bytes(chosen), *pdus[at + 1 :]]) + RELEASE


@pytest.mark.soak
def test_nothing_that_is_sent_breaks_the_listener_or_is_acknowledged_and_lost(
    start_scp, spool, contents
):
    scp = start_scp(network_timeout_s=5)
    before = associations_threads()

    @fuzzed(100)
    @given(st.data())
    def fuzz(data: st.DataObject) -> None:
        stream = data.draw(broken(data.draw(streams(contents))[1]))
        with wire_to(scp.port) as wire:
            wire.send(stream)
            wire.hang_up()
            heard = wire.hear_all()
        studies = list(spool.studies())
        kept = {i.sop_instance_uid for study in studies for i in spool.instances(study)}
        assert set(heard.stored) <= kept
        for study in studies:
            spool.remove_study(study, is_as_expected=lambda: True)

    fuzz()
    wait_until(lambda: associations_threads() <= before, "threads to end")
    assert list((spool.root / "incoming").iterdir()) == []
    assert echo(peer_of(scp)).round_trip_s > 0


@pytest.mark.parametrize(
    "values",
    [
        [Value(store_command("1.2.9"), True, True, 99)],
        [Value(store_command("1.2.9")[:40], True, False), Value(b"", True, True, VERIFICATION_ID)],
        [Value(store_command("1.2.9"), True, True), Value(b"", False, True, VERIFICATION_ID)],
        [Value(store_command("1.2.9"), True, True), Value(store_command("1.2.9"), True, True)],
        [Value(b"data without command", False, True)],
        [Value(bytes(1000), True, False)] * 70,
        [Value(b"", True, True)],
    ],
)
def test_what_the_standard_forbids_is_answered_with_an_abort(values, start_scp, spool):
    scp = start_scp()
    with wire_to(scp.port) as wire:
        for value in values:
            wire.send(pdu([value]))
        assert wire.hear_all().kinds == (ABORT,)
    assert list((spool.root / "incoming").iterdir()) == []
    wait_until(lambda: scp.statistics.aborted == 1, "the abort to be counted")


def test_an_answer_that_comes_after_the_abort_is_dropped(start_scp, monkeypatch):
    """Nonsense follows a release, and our own thread answers the release when it is too late."""
    send_release, look = ACSE.send_release, DULServiceProvider._is_transport_event
    sent, died = threading.Event(), []

    def send_late(service: ACSE, **arguments: bool) -> None:
        wait_until(lambda: service.dul.state_machine.current_state == "Sta13", "the abort")
        send_release(service, **arguments)
        sent.set()

    def look_late(reactor: DULServiceProvider) -> bool:  # called when the abort is sent
        if sent.is_set():
            return look(reactor)
        return not sent.wait(20)

    monkeypatch.setattr(ACSE, "send_release", send_late)
    monkeypatch.setattr(DULServiceProvider, "_is_transport_event", look_late)
    monkeypatch.setattr(threading, "excepthook", lambda failure: died.append(failure.exc_value))
    scp, before = start_scp(), associations_threads()
    with wire_to(scp.port) as wire:
        wire.send(RELEASE + pdu([Value(b"data without command", False, True)]))
        assert wire.hear_all().kinds == (ABORT,)
    wait_until(lambda: associations_threads() <= before, "threads to end")
    assert died == []


def test_an_instance_in_a_context_for_something_else_is_refused_and_the_association_lives(
    start_scp, spool, contents
):
    scp = start_scp()
    (uid, data), *_ = contents
    stray = [
        Value(store_command(uid), True, True, VERIFICATION_ID),
        Value(data, False, True, VERIFICATION_ID),
    ]
    good = [Value(store_command(uid), True, True), Value(data, False, True)]
    with wire_to(scp.port) as wire:
        wire.send(pdu(stray) + pdu(good) + RELEASE)
        heard = wire.hear_all()
    assert [answer.Status for answer in heard.answers] == [0x0122, 0]
    assert heard.kinds[-1] == RELEASE_RP
    assert len(spool.instances(STUDY)) == 1


def test_a_request_without_data_set_is_refused(start_scp):
    scp = start_scp()
    with wire_to(scp.port) as wire:
        wire.send(pdu([Value(store_command("1.2.9", data_set=0x0101), True, True)]) + RELEASE)
        heard = wire.hear_all()
    assert [answer.Status for answer in heard.answers] == [0xC000]
    assert scp.statistics.refused_invalid == 1


def test_echo_and_store_take_turns_on_one_association(start_scp, spool, make_ct):
    scp = start_scp()
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    sender.add_requested_context(CT)
    association = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
    for _ in range(3):
        assert association.send_c_echo().Status == 0
        assert association.send_c_store(make_ct(STUDY, SERIES)).Status == 0
    association.release()
    assert len(spool.instances(STUDY)) == 3
    assert scp.statistics.echoes == 3


def test_an_answer_does_not_come_between_the_fragments_of_another_message(
    start_scp, contents, monkeypatch
):
    """A commitment report is sent by another thread than the answers to what is stored."""
    encode_msg, begun = DIMSEMessage.encode_msg, threading.Event()

    def encode_slowly(message: DIMSEMessage, *arguments: int) -> Iterator[object]:
        for fragment in encode_msg(message, *arguments):
            yield fragment
            begun.set()
            time.sleep(0.02)

    monkeypatch.setattr(DIMSEMessage, "encode_msg", encode_slowly)
    scp = start_scp()
    report = N_EVENT_REPORT()
    report.MessageID, report.EventTypeID = 1, 1
    report.AffectedSOPClassUID, report.AffectedSOPInstanceUID = "1.2.840.10008.1.20.1", "1.2.3"
    report.EventInformation = BytesIO(bytes(200_000))
    (uid, data), *_ = contents
    with wire_to(scp.port) as wire:
        (association,) = (t for t in threading.enumerate() if isinstance(t, Association))
        sending = threading.Thread(target=association.dimse.send_msg, args=(report, CONTEXT_ID))
        sending.start()
        assert begun.wait(20)
        wire.send(pdu([Value(store_command(uid), True, True), Value(data, False, True)]))
        sending.join()
        wire.send(RELEASE)
        controls = []
        while (heard := wire.hear()) is not None:
            if heard[0] == P_DATA_TF:
                controls.append(heard[1][5])
    fragments = controls.index(0x02) - 1  # the last of the report's data set
    assert fragments > 10
    assert controls == [0x03, *[0x00] * fragments, 0x02, 0x03]


@pytest.mark.parametrize("max_pdu", ["4096", "16384", "131072"])
def test_dcmtk_echoes_and_stores_with_pdus_of_any_size(max_pdu, start_scp, spool):
    scp = start_scp()
    address = ["-aec", "NODE", "127.0.0.1", str(scp.port)]
    subprocess.run([dcmtk("echoscu"), "-pdu", max_pdu, *address], check=True, timeout=30)
    path = bundled("CT_small.dcm")
    subprocess.run(
        [dcmtk("storescu"), "--max-send-pdu", max_pdu, "-pdu", max_pdu, *address, str(path)],
        env=os.environ | {"TCP_NODELAY": "1"},
        check=True,
        timeout=30,
    )
    assert (scp.statistics.stored, scp.statistics.echoes) == (1, 1)
