"""Peers that are slow, silent, rude or many: others are served, and nothing of them stays."""

from __future__ import annotations

import gc
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any
from unittest import mock

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE

from listener.scu import StoreCategory, echo, store
from tests.conftest import WAIT_LIMIT_S, soak_rounds, wait_until
from tests.listener.conftest import CT, EXPLICIT, acceptor_of, data_set_of, peer_of
from tests.listener.wire import P_DATA_TF, VERIFICATION_ID, Value, echo_command, pdu, wire_to


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Threads return to where they were, less the one that listens."""
    before = associations_threads()
    yield
    wait_until(lambda: associations_threads() <= before, "threads to end")


def associations_threads() -> int:
    return sum(not thread.name.startswith("storage-scp") for thread in threading.enumerate())


def associated(scp, **timeouts) -> Association:
    sender = AE("MODALITY")
    sender.add_requested_context(CT, EXPLICIT)
    association = sender.associate("127.0.0.1", scp.port, ae_title="NODE")
    assert association.is_established
    return association


def raw_socket(association: Association) -> socket.socket:
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    return transport.socket


def p_data(fragment: bytes, *, context_id: int = 1, header: int = 0x00) -> bytes:
    item = struct.pack(">LBB", len(fragment) + 2, context_id, header) + fragment
    return struct.pack(">BBL", 0x04, 0, len(item)) + item


def is_closed_by_peer(connection: socket.socket) -> bool:
    connection.settimeout(WAIT_LIMIT_S)
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    return True


def test_a_connection_that_says_nothing_is_closed(start_scp, nothing_left):
    scp = start_scp(acse_timeout_s=0.5, network_timeout_s=2)
    with socket.create_connection(("127.0.0.1", scp.port)) as silent:
        assert echo(peer_of(scp)).round_trip_s > 0
        assert is_closed_by_peer(silent)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 20,
        bytes(64),
        b"\xff" * 64,
    ],
)
def test_whoever_does_not_speak_dicom_is_closed(words, start_scp, nothing_left):
    scp = start_scp(acse_timeout_s=0.5, network_timeout_s=2)
    with socket.create_connection(("127.0.0.1", scp.port)) as rude:
        rude.sendall(words)
        assert is_closed_by_peer(rude)
    assert echo(peer_of(scp)).round_trip_s > 0


def test_a_peer_that_stops_in_the_middle_of_a_pdu_is_dropped(start_scp, nothing_left):
    scp = start_scp(network_timeout_s=1)
    association = associated(scp)
    raw_socket(association).sendall(struct.pack(">BBL", 0x04, 0, 1000) + bytes(10))
    wait_until(lambda: scp.statistics.aborted == 1, "the association to end")
    association.abort()


def test_a_peer_that_stops_after_a_whole_pdu_and_a_part_of_the_next_is_dropped(
    start_scp, nothing_left
):
    scp = start_scp(network_timeout_s=1)
    with wire_to(scp.port) as wire:
        whole = pdu([Value(echo_command(), True, True, VERIFICATION_ID)])
        wire.send(whole + struct.pack(">BBL", 0x04, 0, 1000) + bytes(10))
        assert wire.hear_all().kinds in ((P_DATA_TF,), ())  # the answer, or the end came first
    wait_until(lambda: scp.statistics.aborted == 1, "the association to end")
    assert scp.statistics.echoes == 1


def test_a_peer_that_trickles_a_byte_at_a_time_does_not_hold_on_for_ever(start_scp, nothing_left):
    scp = start_scp(network_timeout_s=1)
    association = associated(scp)
    connection = raw_socket(association)
    connection.sendall(struct.pack(">BBL", 0x04, 0, 100_000))
    sent = 0
    with suppress(OSError):  # reset or broken, as the kernel likes
        while sent < 200:
            connection.sendall(b"\0")
            sent += 1
            time.sleep(0.05)
    assert sent < 200
    association.abort()


def test_a_half_open_connection_is_noticed(start_scp, nothing_left):
    """The other end has gone without a word: no data comes, none is refused."""
    scp = start_scp(network_timeout_s=1)
    association = associated(scp)
    wait_until(lambda: scp.open_associations == 0, "the association to end")
    association.abort()


@pytest.mark.parametrize("length", [200_000, 2**31, 2**32 - 1])
def test_a_pdu_larger_than_agreed_is_answered_with_an_abort(length, start_scp, nothing_left):
    scp = start_scp(max_pdu=128 * 1024)
    association = associated(scp)
    raw_socket(association).sendall(struct.pack(">BBL", 0x04, 0, length) + bytes(1000))
    wait_until(lambda: association.is_aborted, "the abort")
    wait_until(lambda: scp.statistics.aborted == 1, "the abort to be counted")
    assert echo(peer_of(scp)).round_trip_s > 0


def test_an_association_request_of_gigabytes_is_not_read(start_scp, nothing_left):
    scp = start_scp(network_timeout_s=2)
    with socket.create_connection(("127.0.0.1", scp.port)) as greedy:
        greedy.sendall(struct.pack(">BBL", 0x01, 0, 2**31) + bytes(1000))
        assert is_closed_by_peer(greedy)


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BBL", 0x04, 0, 0),
        struct.pack(">BBL", 0x04, 0, 4) + struct.pack(">L", 0),
        struct.pack(">BBL", 0x04, 0, 6) + struct.pack(">LBB", 2, 1, 0),
        struct.pack(">BBL", 0x04, 0, 6) + struct.pack(">LBB", 9999, 1, 0),
        struct.pack(">BBL", 0x09, 0, 4) + bytes(4),
        p_data(b"\xff" * 100, header=0x03),
        p_data(b"", header=0x03),
        p_data(b"\0" * 12, context_id=99, header=0x03),
    ],
)
def test_a_broken_pdu_costs_its_own_association_only(pdu, start_scp, nothing_left, make_ct):
    scp = start_scp(network_timeout_s=2)
    association = associated(scp)
    raw_socket(association).sendall(pdu)
    assert store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1")])[0].status == 0
    wait_until(lambda: scp.open_associations == 0, "the association to end")
    association.abort()


@pytest.mark.parametrize("abort", [True, False])
def test_a_sender_that_goes_in_the_middle_of_a_data_set_leaves_nothing(
    abort, start_scp, spool, nothing_left, make_ct
):
    scp = start_scp(network_timeout_s=5)
    association = associated(scp)
    request = store_request(data_set_of(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5")))
    pieces: list[Any] = []
    connection = raw_socket(association)
    with mock.patch.object(association.dul, "send_pdu", pieces.append):
        association.dimse.send_msg(request, 1)
        for primitive in pieces[: len(pieces) // 2]:
            for context_id, value in primitive.presentation_data_value_list:
                connection.sendall(p_data(value[1:], context_id=context_id, header=value[0]))
    if abort:
        association.abort()
    else:
        connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: scp.statistics.aborted == 1, "the association to end")
    assert list(spool.studies()) == []
    assert list((spool.root / "incoming").iterdir()) == []


def store_request(data: bytes, message_id: int = 1) -> C_STORE:
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = CT
    request.AffectedSOPInstanceUID = "1.2.3.1.5"
    request.Priority = 2
    request.DataSet = BytesIO(data)
    return request


def test_requests_sent_ahead_of_the_answers_wait_at_the_sender(
    start_scp, spool, nothing_left, make_ct
):
    go_on = threading.Event()
    scp = start_scp(lambda _: go_on.wait(WAIT_LIMIT_S))
    association = associated(scp)
    data = data_set_of(make_ct("1.2.3", "1.2.3.1", sop="1.2.3.1.5"))
    for message_id in range(1, 41):
        association.dimse.send_msg(store_request(data, message_id), 1)
    ours = acceptor_of(association)
    time.sleep(0.5)
    assert ours.dimse.msg_queue.qsize() <= 3
    go_on.set()
    wait_until(lambda: scp.statistics.stored + scp.statistics.duplicates == 40, "all to be stored")
    association.abort()


def test_a_flood_of_connections_is_bounded_and_others_are_served(start_scp, nothing_left):
    scp = start_scp(max_unestablished=16, acse_timeout_s=1, network_timeout_s=2)
    before = threading.active_count()
    flood = [
        socket.create_connection(("127.0.0.1", scp.port), source_address=("127.0.0.2", 0))
        for _ in range(300)
    ]
    try:
        assert echo(peer_of(scp)).round_trip_s > 0
        # Three for each that is let in, and those of some that have just been closed.
        assert threading.active_count() - before < 6 * 16
        wait_until(lambda: scp.statistics.connections_closed > 0, "the flood to be cut")
    finally:
        for connection in flood:
            connection.close()
    assert echo(peer_of(scp)).round_trip_s > 0


def test_a_slow_sender_does_not_slow_the_others(start_scp, spool, nothing_left, make_ct):
    scp = start_scp(network_timeout_s=5)
    slow = associated(scp)
    raw_socket(slow).sendall(struct.pack(">BBL", 0x04, 0, 1000))
    outcomes = store(peer_of(scp), [make_ct("1.2.3", "1.2.3.1") for _ in range(20)])
    assert {outcome.category for outcome in outcomes} == {StoreCategory.SUCCESS}
    slow.abort()


@pytest.mark.soak
def test_many_associations_leave_no_thread_and_no_object_behind(start_scp, nothing_left, make_ct):
    scp = start_scp(network_timeout_s=5)
    path = make_ct("1.2.3", "1.2.3.1")
    for round_number in range(soak_rounds(short=60, long=5000)):
        if round_number % 3 == 0:
            store(peer_of(scp), [path])
        elif round_number % 3 == 1:
            associated(scp).abort()
        else:
            with socket.create_connection(("127.0.0.1", scp.port)) as gone:
                gone.sendall(b"\x01")
    wait_until(lambda: scp.open_associations == 0, "the associations to end")
    gc.collect()
    assert sum(issubclass(type(thing), Association) for thing in gc.get_objects()) <= 3
