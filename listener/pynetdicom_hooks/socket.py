"""Bounds on what a peer can make us hold: the library reads whatever length it is told."""

from __future__ import annotations

import os
import select
import ssl
import struct
import time
from contextlib import suppress
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


class PDUSocket(AssociationSocket):
    """Reads whole PDUs only, none longer than agreed, each within a time limit.

    Whatever has come is read at once, so that several small PDUs cost one look at the network.

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
        self._buffer = bytearray(2 * (_HEADER.size + max_pdu + _SLACK))
        self._start = self._end = 0  # what was read and not given out yet

    def has_come(self) -> bool:
        """Whether there is something to see to: read before, or found by reading without waiting.

        The end of the connection is something, too. Of what comes over TLS only what was taken
        off the network already is seen.
        """
        connection = self.socket
        if self._start < self._end:
            return True
        if connection is None:
            return False
        if isinstance(connection, ssl.SSLSocket):
            return connection.pending() > 0
        self._start = self._end = 0
        try:
            self._end = os.readv(connection.fileno(), [self._buffer])
        except BlockingIOError:
            return False
        except OSError:
            return True  # who reads finds out
        return True

    def send(self, bytestream: bytes) -> None:
        """Send; without asking first whether there is room for it, as there almost always is."""
        connection = self.socket
        sent = 0
        if connection is not None and not isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):
                sent = os.write(connection.fileno(), bytestream)
        if sent < len(bytestream):
            super().send(bytestream[sent:])

    def read_pdu(self) -> tuple[int, memoryview]:
        """Read one PDU; return its type, and what follows its header, until the next call.

        Raises:
            UnacceptablePDUError: it is of no known type, or longer than agreed; its body is not
                taken.
            OSError: the connection was lost, or the PDU took too long.
        """
        deadline = time.monotonic() + self._timeout_s
        self._fill(_HEADER.size, deadline)
        kind, length = _HEADER.unpack_from(self._buffer, self._start)
        if kind not in _PDU_TYPES:
            raise UnacceptablePDUError(f"a PDU of unknown type {kind:02X}H")
        limit = self._max_pdu + _SLACK if kind == _P_DATA_TF else _OTHER_PDU_LIMIT
        if length > limit:
            raise UnacceptablePDUError(f"a PDU of {length} bytes, {limit} were agreed")
        self._fill(_HEADER.size + length, deadline)
        begin = self._start + _HEADER.size
        self._start = begin + length
        return kind, memoryview(self._buffer)[begin : self._start]

    def _fill(self, needed: int, deadline: float) -> None:
        """Read until so many bytes are there from the start on."""
        if self._end - self._start >= needed:
            return
        self._make_room(needed)
        free = memoryview(self._buffer)
        while self._end - self._start < needed:
            read = self._receive(free[self._end :], deadline)
            if not read:
                raise ConnectionError("the peer closed the connection")
            self._end += read

    def _make_room(self, needed: int) -> None:
        if self._start and (self._start == self._end or self._start + needed > len(self._buffer)):
            kept = self._buffer[self._start : self._end]
            self._start, self._end = 0, len(kept)
            self._buffer[: self._end] = kept
        if needed > len(self._buffer):  # not in place: a PDU that was given out may still be used
            self._buffer = self._buffer[: self._end] + bytearray(needed - self._end)

    def _receive(self, into: memoryview, deadline: float) -> int:
        """Read what has come; wait where nothing has."""
        connection = self.socket
        if connection is None:
            raise ConnectionError("the connection was closed")
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(_left(deadline))
            try:
                return connection.recv_into(into)
            finally:
                connection.settimeout(self._timeout_s)
        while True:
            with suppress(BlockingIOError):
                # The socket's own method would ask whether there is something first.
                return os.readv(connection.fileno(), [into])
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            poller.poll(_left(deadline) * 1000)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("a PDU was not complete in time")
    return left
