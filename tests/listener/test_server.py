"""The sockets: small packets are never held back, whoever opened the connection."""

from __future__ import annotations

import socket

from pynetdicom import build_context
from pynetdicom.association import Association

from listener.peer import associate
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
