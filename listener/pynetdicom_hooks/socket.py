"""Limits size and duration of a PDU; pynetdicom allocates whatever length the peer announces."""

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
# Some senders count the header of the PDV, or of the PDU; some do not.
_SLACK = 12


class UnacceptablePDUError(Exception):
    """PDU of an unknown type, or longer than agreed; the connection can't go on."""


class PDUSocket(AssociationSocket):
    """Socket that reads whole PDUs, none longer than agreed, each within a time limit.

    Several small PDUs are read by one system call.

    Args:
        association: of the socket.
        connection: connected socket.
        max_pdu: largest P-DATA-TF that we announced, in bytes (PS3.8 D.1).
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
        self._start = self._end = 0  # bytes that were read and not returned yet

    def has_data(self) -> bool:
        """Read without waiting; return whether there is data or the connection has ended.

        With TLS only data that was decrypted before counts.
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
            return True  # reading detects the error
        return True

    def send(self, bytestream: bytes) -> None:
        """Send at once; wait for room only if the socket's buffer is full, which is rare."""
        connection = self.socket
        sent = 0
        if connection is not None and not isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):
                sent = os.write(connection.fileno(), bytestream)
        if sent < len(bytestream):
            super().send(bytestream[sent:])

    def read_pdu(self) -> tuple[int, memoryview]:
        """Read one PDU and return its type and its body, which is valid until the next call.

        Raises:
            UnacceptablePDUError: its type is unknown, or it is longer than agreed; its body is not
                read.
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
        """Read until the buffer has a number of bytes."""
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
        if needed > len(self._buffer):  # not in place: a returned PDU may still be used
            self._buffer = self._buffer[: self._end] + bytearray(needed - self._end)

    def _receive(self, into: memoryview, deadline: float) -> int:
        """Read the available bytes; wait if there are none."""
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
                # Without the select() of the socket's own method.
                return os.readv(connection.fileno(), [into])
            poller = select.poll()
            poller.register(connection, select.POLLIN)
            poller.poll(_left(deadline) * 1000)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("a PDU was not complete in time")
    return left
