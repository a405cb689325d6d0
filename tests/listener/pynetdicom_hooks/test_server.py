"""The sockets: small packets are never held back, whoever opened the connection."""

from __future__ import annotations

import socket

from pydicom.uid import UID
from pynetdicom import build_context, evt
from pynetdicom.association import Association

from listener.scu import associate
from tests.listener.conftest import acceptor_of, peer_of

VERIFICATION = "1.2.840.10008.1.1"


def no_delay(association: Association) -> bool:
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    return bool(transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))


def test_neither_side_of_an_association_waits_for_more_to_send(start_scp):
    scp = start_scp()
    with associate(peer_of(scp), [build_context(VERIFICATION)]) as ours:
        assert no_delay(ours)
        assert no_delay(acceptor_of(ours))


def test_what_only_makes_log_lines_that_nobody_reads_is_not_computed(start_scp, recwarn):
    scp = start_scp()
    with associate(peer_of(scp), [build_context(VERIFICATION)]) as ours:
        for association in (ours, acceptor_of(ours)):
            for event in (evt.EVT_PDU_SENT, evt.EVT_PDU_RECV, evt.EVT_DIMSE_RECV):
                assert not association.get_handlers(event)
    assert UID("1.02.no UID")  # as a peer may send it: no warning quotes it
    assert not recwarn.list
