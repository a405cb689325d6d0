"""Bounds on what a peer can make us hold: the library reads whatever length it is told."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    import socket

    from pynetdicom.association import Association

_HEADER = struct.Struct(">BxL")
_P_DATA_TF = 0x04
_PDU_TYPES = range(0x01, 0x08)
# An A-ASSOCIATE-RQ with 128 contexts of 16 syntaxes has about 150 KB.
_OTHER_PDU_LIMIT = 1024 * 1024
# Some senders count the header of the PDV, or of the PDU, and some do not.
_SLACK = 12


class UnacceptablePDUError(Exception):
    """A PDU of no known type, or longer than was agreed; the connection can't go on."""


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
        self._header = bytearray(_HEADER.size)
        self._body = bytearray()

    def read_pdu(self) -> tuple[int, memoryview]:
        """Read one PDU; return its type, and what follows its header, until the next call.

        Raises:
            UnacceptablePDUError: it is of no known type, or longer than agreed; its body is not
                read.
            OSError: the connection was lost, or the PDU took too long.
        """
        deadline = time.monotonic() + self._timeout_s
        self._fill(memoryview(self._header), deadline)
        kind, length = _HEADER.unpack(self._header)
        if kind not in _PDU_TYPES:
            raise UnacceptablePDUError(f"a PDU of unknown type {kind:02X}H")
        limit = self._max_pdu + _SLACK if kind == _P_DATA_TF else _OTHER_PDU_LIMIT
        if length > limit:
            raise UnacceptablePDUError(f"a PDU of {length} bytes, {limit} were agreed")
        if length > len(self._body):
            self._body = bytearray(length)
        body = memoryview(self._body)[:length]
        self._fill(body, deadline)
        return kind, body

    def _fill(self, rest: memoryview, deadline: float) -> None:
        connection = self.socket
        while rest:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU was not complete in time")
            if connection is None:
                raise ConnectionError("the connection was closed")
            connection.settimeout(left)
            read = connection.recv_into(rest)
            if not read:
                raise ConnectionError("the peer closed the connection")
            rest = rest[read:]
        if connection is not None:
            connection.settimeout(self._timeout_s)
