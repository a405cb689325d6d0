"""Bounds on what a peer can make us hold: the library reads whatever length it is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    import socket

    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import P_DATA

_log = structlog.get_logger()

_HEADER = 6
_P_DATA_TF = 0x04
_PDU_TYPES = range(0x01, 0x08)
# An A-ASSOCIATE-RQ with 128 contexts of 16 syntaxes has about 150 KB.
_OTHER_PDU_LIMIT = 1024 * 1024
# Some senders count the header of the PDV, or of the PDU, and some do not.
_SLACK = 12
_CHUNK = 64 * 1024
# Requests that a peer may send ahead of our answers; more of them wait in its own buffers.
_REQUESTS_AHEAD = 2


class GuardedSocket(AssociationSocket):
    """Reads whole PDUs only, none longer than agreed, each within a time limit.

    Args:
        association: whose socket it is.
        connection: connected.
        max_pdu: bytes of a P-DATA-TF that we announced to take (PS3.8 D.1).
        pdu_timeout_s: seconds from the first byte of a PDU to its last.
    """

    def __init__(
        self,
        association: Association,
        connection: socket.socket,
        *,
        max_pdu: int,
        pdu_timeout_s: float,
    ) -> None:
        super().__init__(association, client_socket=connection)
        self._max_pdu = max_pdu
        self._timeout_s = pdu_timeout_s
        self._deadline = 0.0
        self._type = 0

    @property
    def ready(self) -> bool:
        """Whether there is something to read that we are ready to hold."""
        if self.assoc.dimse.msg_queue.qsize() >= _REQUESTS_AHEAD:
            return False
        return bool(super().ready)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read the header of a PDU, then its body.

        Raises:
            OSError: it is longer than agreed, or took too long; the association ends.
        """
        if nr_bytes == _HEADER and not self._type:
            self._deadline = time.monotonic() + self._timeout_s
            header = self._read(nr_bytes)
            self._type = header[0] if header and header[0] in _PDU_TYPES else 0
            return header
        kind, self._type = self._type, 0
        limit = self._max_pdu + _SLACK if kind == _P_DATA_TF else _OTHER_PDU_LIMIT
        if nr_bytes > limit:
            self.event_queue.put("Evt19")  # PS3.8 9.2: answered with A-ABORT
            raise OSError(f"a PDU of {nr_bytes} bytes, {limit} were agreed")
        return self._read(nr_bytes)

    def _read(self, wanted: int) -> bytearray:
        data = bytearray()
        connection = self.socket
        while connection is not None and len(data) < wanted:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU was not complete in time")
            connection.settimeout(left)
            chunk = connection.recv(min(wanted - len(data), _CHUNK))
            if not chunk:
                break
            data += chunk
        if connection is not None:
            connection.settimeout(self._timeout_s)
        return data


class BoundedMessages(DIMSEServiceProvider):
    """Assembles messages of which no data set grows beyond a limit by more than one byte.

    What is beyond is read and dropped, so that the sender gets an answer and the association
    lives. A data set of more than `object_bytes` is thus seen to be too large.

    Attributes:
        object_bytes: the limit; set once the peer is known.
    """

    def __init__(self, association: Association, *, object_bytes: int) -> None:
        super().__init__(association)
        self.object_bytes = object_bytes
        self._held = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next part of a message."""
        if self.message is None:
            self._held = 0
        values = primitive.presentation_data_value_list
        for index, (context_id, value) in enumerate(values):
            if not value or value[0] & 0x01:  # of the command set, not of the data set: PS3.8 E.2
                continue
            room = self.object_bytes + 1 - self._held
            fragment = len(value) - 1
            if fragment > room:
                values[index] = (context_id, value[: 1 + max(room, 0)])
            self._held += min(fragment, max(room, 0))
        try:
            super().receive_primitive(primitive)
        except Exception as error:  # noqa: BLE001  the library's parser meets whatever was sent
            _log.warning("message.broken", reason=type(error).__name__)
            self.message = None
            self.dul.event_queue.put("Evt19")  # PS3.8 9.2: answered with A-ABORT
