"""Requestor side of an association: its events, and its socket's options."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from pynetdicom import evt
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation as RoleSelection

from listener.pynetdicom_hooks.dimse import DIMSEProvider

if TYPE_CHECKING:
    from pynetdicom.association import Association


__all__ = ["RequestorEvents", "RoleSelection"]


class RequestorEvents:
    """Handlers that set up an association and record how far it came.

    Attributes:
        opened: set when there is a TCP connection.
        ended_by_peer: set when the peer aborted or the connection broke (A-P-ABORT).
    """

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.ended_by_peer = threading.Event()

    def handlers(self) -> list[tuple[Any, Any]]:
        """Return the event handlers, as `AE.associate` takes them."""
        return [(evt.EVT_CONN_OPEN, self._on_open), (evt.EVT_ACSE_RECV, self._on_primitive)]

    def _on_open(self, event: evt.Event) -> None:
        """Send small packets at once (no Nagle), and lose no answer between two threads."""
        self.opened.set()
        association: Association = event.assoc
        association.dimse = DIMSEProvider(association)
        transport = association.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_primitive(self, event: evt.Event) -> None:
        if isinstance(vars(event).get("primitive"), (A_ABORT, A_P_ABORT)):
            self.ended_by_peer.set()
