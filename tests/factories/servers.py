"""Storage SCPs of pynetdicom on loopback, as the other side of a test."""

from __future__ import annotations

from collections.abc import Sequence

from pynetdicom import AE
from pynetdicom.events import EventHandlerType
from pynetdicom.transport import ThreadedAssociationServer


def start_server(
    ae: AE, handlers: Sequence[EventHandlerType] = (), *, port: int = 0
) -> ThreadedAssociationServer:
    """Start to listen on 127.0.0.1, on a free port if none is given."""
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers))
    assert server is not None  # it is None only after a server that blocks
    return server


def port_of(server: ThreadedAssociationServer) -> int:
    assert server.socket is not None
    return int(server.socket.getsockname()[1])
