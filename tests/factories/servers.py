"""pynetdicom's servers on loopback, each on a port of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pynetdicom import AE
from pynetdicom.transport import ThreadedAssociationServer


def start_server(
    ae: AE, *, port: int = 0, handlers: Sequence[Any] = ()
) -> ThreadedAssociationServer:
    """Start to answer; `port_of` says where, `shutdown` ends it."""
    server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=list(handlers))
    assert server is not None
    return server


def port_of(server: ThreadedAssociationServer) -> int:
    """Return the port that a server listens on."""
    assert server.socket is not None
    return int(server.socket.getsockname()[1])
