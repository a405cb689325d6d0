"""Requestor side of an association: its events, and its socket's options."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from pynetdicom import evt
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation as RoleSelection

from listener.errors import BrokenMessageError
from listener.pynetdicom_hooks.dimse import DIMSEProvider
from listener.pynetdicom_hooks.negotiation import ABORT, ASSOCIATE_RJ, repaired
from listener.pynetdicom_hooks.reasons import describe_abort, describe_rejection

if TYPE_CHECKING:
    from pynetdicom.association import Association


__all__ = ["RequestorEvents", "RoleSelection"]


class RequestorEvents:
    """Handlers that set up an association and record how far it came.

    Attributes:
        opened: set when there is a TCP connection.
        ended_by_peer: set when the peer aborted or the connection broke (A-P-ABORT).
        answer: the peer's rejection or abort, or the reason why its answer can't be read, in
            words; empty as long as there is none.
    """

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.ended_by_peer = threading.Event()
        self.answer = ""

    def handlers(self) -> list[tuple[Any, Any]]:
        """Return the event handlers, as `AE.associate` takes them."""
        return [(evt.EVT_CONN_OPEN, self._on_open), (evt.EVT_ACSE_RECV, self._on_primitive)]

    def _on_open(self, event: evt.Event) -> None:
        """Send small packets at once (no Nagle), and lose no answer between two threads."""
        self.opened.set()
        association: Association = event.assoc
        association.dimse = DIMSEProvider(association)
        decode = association.dul._decode_pdu
        # An instance's method: the library makes its reactor itself.
        vars(association.dul)["_decode_pdu"] = lambda pdu: decode(self._readable(bytes(pdu)))
        transport = association.dul.socket
        if transport is not None and transport.socket is not None:
            transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _readable(self, pdu: bytes) -> bytearray:
        """Repair a received PDU, and note what it says about the association's end."""
        if pdu[0] == ASSOCIATE_RJ:
            self.answer = describe_rejection(pdu)
        elif pdu[0] == ABORT:
            self.answer = describe_abort(pdu)
        try:
            return bytearray(repaired(pdu))
        except BrokenMessageError as error:
            self.answer = f"its answer can't be read: {error}"
            raise

    def _on_primitive(self, event: evt.Event) -> None:
        if isinstance(vars(event).get("primitive"), (A_ABORT, A_P_ABORT)):
            self.ended_by_peer.set()
