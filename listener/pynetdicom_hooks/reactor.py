"""The thread that reads and writes an association: it waits where pynetdicom's own looks around.

pynetdicom's reactor wakes up a thousand times a second to see whether something came or is to be
sent, and reads 4 KiB at a time. This one sleeps until one or the other is so.
"""

from __future__ import annotations

import queue
import select
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import structlog
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA

from listener.errors import BrokenMessageError
from listener.pynetdicom_hooks.association_request import AssociationRequest
from listener.pynetdicom_hooks.c_store_messages import IncomingMessages
from listener.pynetdicom_hooks.socket import PDUSocket, UnacceptablePDUError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from listener.pynetdicom_hooks.c_store_messages import StoreService
    from listener.pynetdicom_hooks.dimse import DIMSEProvider

log = structlog.get_logger()

_ASSOCIATE_RQ, _P_DATA_TF = 0x01, 0x04
_DATA_TRANSFER, _AWAITING_CLOSE = "Sta6", "Sta13"  # PS3.8 9.2.1
_OVER = frozenset(("Sta1", _AWAITING_CLOSE))  # nothing can be sent any more
# PS3.8 9.2.2
_ASSOCIATION_REQUESTED, _P_DATA_REQUEST = "Evt6", "Evt9"
_CONNECTION_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
# Requests that a peer may send ahead of our answers; more of them wait in its own buffers.
_REQUESTS_AHEAD = 2
# Timers are looked at this often while nothing happens.
_LOOK_S = 0.1
_LOOK_AHEAD_S = 0.005


class _WakePipe:
    """Wakes up a thread that waits for the network."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.settimeout(0)
        self._writer.settimeout(0)

    def ring(self) -> None:
        with suppress(OSError):  # closed, or rung more often than it holds
            self._writer.send(b"\0")

    def drain(self) -> None:
        with suppress(OSError):
            self.reader.recv(4096)

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


class _NotifyingQueue(queue.Queue[Any]):
    """Tells someone of whatever is put in."""

    def __init__(self, announce: Callable[[], None]) -> None:
        super().__init__()
        self._announce = announce

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        super().put(item, block, timeout)
        self._announce()


class Reactor(DULServiceProvider):
    """Reads PDUs from a guarded socket, and gives P-DATA to `IncomingMessages`.

    All else is pynetdicom's: its state machine, its timers, and what it sends.

    Args:
        association: not started yet; its socket and this reactor are set by the caller.
        service: takes the C-STORE requests.
    """

    def __init__(self, association: Association, service: StoreService) -> None:
        super().__init__(association)
        self._run_loop_delay = 0.0  # it waits in `_waited_for_data`
        self._wake_pipe = _WakePipe()
        self._messages = IncomingMessages(association, service, self._answer)
        self._busy = False
        self.to_provider_queue = _NotifyingQueue(self._wake_pipe.ring)
        self.to_user_queue = _NotifyingQueue(self._tell_user)

    def run_reactor(self) -> None:
        """Run until the association is over."""
        try:
            super().run_reactor()
        finally:
            self._messages.close()
            self._wake_pipe.close()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self._wake_pipe.ring()

    def stop_dul(self) -> bool:
        """End the thread if the association is over; return whether it is."""
        if self.state_machine.current_state == "Sta1":
            self.kill_dul()
        return super().stop_dul()

    def idle_timer_expired(self) -> bool:
        """Whether nothing came for too long; while an instance is stored it is our turn."""
        return not self._busy and super().idle_timer_expired()

    def _process_recv_primitive(self) -> bool:
        if self.state_machine.current_state not in _OVER:
            return super()._process_recv_primitive()
        # Of what our threads asked for before they knew, the state machine would die.
        self.to_provider_queue.queue.clear()
        return False

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state == _AWAITING_CLOSE:
            return super()._is_transport_event()
        came = False
        # The library's own loop has more to do between two PDUs than there is to do for one.
        while self._waited_for_data():
            self._read_pdu_data()
            came = True
            if not self.to_provider_queue.empty():
                break
        return came

    def _read_pdu_data(self) -> None:
        transport = cast("PDUSocket", self.socket)
        try:
            kind, body = transport.read_pdu()
        except UnacceptablePDUError as error:
            log.warning("pdu.refused", reason=str(error))
            self.event_queue.put(_INVALID_PDU)  # answered with A-ABORT
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        except OSError as error:
            log.debug("connection.lost", reason=str(error))
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        try:
            self._take(kind, body)
        except BrokenMessageError as error:
            log.warning("message.broken", reason=str(error))
            self.event_queue.put(_INVALID_PDU)

    def _take(self, kind: int, body: memoryview) -> None:
        if kind == _P_DATA_TF and self.state_machine.current_state == _DATA_TRANSFER:
            self._busy = True
            try:
                self._messages.take(body)
            finally:
                self._idle_timer.restart()
                self._busy = False
            return
        header = bytes((kind, 0)) + len(body).to_bytes(4, "big")
        try:
            pdu, event = self._decode_pdu(bytearray(header + body))
        except Exception as error:  # the library's parser meets whatever was sent
            raise BrokenMessageError(f"{type(error).__name__} in a PDU") from error
        self.event_queue.put(event)
        self._recv_pdu.put(pdu)

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] != _ASSOCIATE_RQ:
            return super()._decode_pdu(bytestream)
        request = AssociationRequest()
        request.decode(bytes(bytestream))
        return request, _ASSOCIATION_REQUESTED

    def _answer(self, pdu: bytes, delay_s: float) -> None:
        """Send an answer, later if it has to wait and nothing else is to be sent by then."""
        deadline = time.monotonic() + delay_s
        while (left := deadline - time.monotonic()) > 0 and self.to_provider_queue.empty():
            self._poll([self._wake_pipe.reader], left)
        with cast("DIMSEProvider", self.assoc.dimse).sending:
            self._send_what_waits()
            if self.socket is not None:
                self.socket.send(pdu)

    def _send_what_waits(self) -> None:
        """Send the rest of a message that is on its way, so that an answer does not split it."""
        waiting = self.to_provider_queue.queue
        while waiting and isinstance(waiting[0], P_DATA):
            self.state_machine.do_action(_P_DATA_REQUEST)

    def _tell_user(self) -> None:
        """Wake up the association's thread, as the library itself does when it aborts."""
        self.assoc.dimse.msg_queue.put((None, None))

    def _is_ahead(self) -> bool:
        return self.assoc.dimse.msg_queue.qsize() >= _REQUESTS_AHEAD

    def _waited_for_data(self) -> bool:
        """Wait until there is something to read or to send, or a timer is to be looked at."""
        transport = cast("PDUSocket | None", self.socket)
        connection = None if transport is None else transport.socket
        if self._kill_thread or not self.event_queue.empty():
            return False
        if transport is None or connection is None or self._is_ahead():
            self._poll([self._wake_pipe.reader], _LOOK_AHEAD_S)
            return False
        if transport.has_come():
            return True
        return self._poll([self._wake_pipe.reader, connection], _LOOK_S)

    def _poll(self, sockets: list[socket.socket], timeout_s: float) -> bool:
        """Wait for the bell or a connection; return whether it is the connection."""
        poller = select.poll()
        try:
            for waited_for in sockets:
                poller.register(waited_for, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(timeout_s * 1000)}
        except (OSError, ValueError):  # closed meanwhile; who reads it finds out
            return True
        bell = self._wake_pipe.reader.fileno()
        if bell in ready:
            self._wake_pipe.drain()
        return bool(ready - {bell})
