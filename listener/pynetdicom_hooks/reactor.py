"""DUL reactor that blocks in poll() where pynetdicom's polls 1,000 times a second.

It reads and writes one association, in whole PDUs where pynetdicom reads 4 KiB at a time.
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
from listener.pynetdicom_hooks.negotiation import ABORT, Titles, repaired, titles_of
from listener.pynetdicom_hooks.reasons import describe_abort, escaped
from listener.pynetdicom_hooks.socket import PDUSocket, UnacceptablePDUError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from listener.pynetdicom_hooks.c_store_messages import StoreService
    from listener.pynetdicom_hooks.dimse import DIMSEProvider

log = structlog.get_logger()

_ASSOCIATE_RQ, _P_DATA_TF = 0x01, 0x04
_DATA_TRANSFER, _AWAITING_CLOSE = "Sta6", "Sta13"  # PS3.8 9.2.1
_OVER = frozenset(("Sta1", _AWAITING_CLOSE))  # states in which nothing can be sent
# PS3.8 9.2.2
_ASSOCIATION_REQUESTED, _P_DATA_REQUEST = "Evt6", "Evt9"
_CONNECTION_CLOSED, _INVALID_PDU = "Evt17", "Evt19"
_PROTOCOL_VERSION = 1  # PS3.8 9.3.2
# Requests that are read ahead of our answers; more of them wait in the network.
_REQUESTS_AHEAD = 2
# Longest wait in seconds before the timers are checked.
_CHECK_S = 0.1
_CHECK_AHEAD_S = 0.005


class _WakePipe:
    """Pipe that wakes a thread out of poll()."""

    def __init__(self) -> None:
        self.reader, self._writer = socket.socketpair()
        self.reader.settimeout(0)
        self._writer.settimeout(0)

    def wake(self) -> None:
        with suppress(OSError):  # closed, or full
            self._writer.send(b"\0")

    def drain(self) -> None:
        with suppress(OSError):
            self.reader.recv(4096)

    def close(self) -> None:
        self.reader.close()
        self._writer.close()


class _NotifyingQueue(queue.Queue[Any]):
    """Queue that calls a function after each put."""

    def __init__(self, on_put: Callable[[], None]) -> None:
        super().__init__()
        self._on_put = on_put

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        super().put(item, block, timeout)
        self._on_put()


class Reactor(DULServiceProvider):
    """DUL service provider that reads whole PDUs, and gives P-DATA to `IncomingMessages`.

    The state machine, the timers and all sending are pynetdicom's.

    Args:
        association: not started yet; the caller sets its socket and this reactor.
        service: receives the C-STORE requests.

    Attributes:
        titles: AE titles of the association request, as the peer sent them.
        has_heard: whether the peer sent anything.
    """

    def __init__(self, association: Association, service: StoreService) -> None:
        super().__init__(association)
        self._run_loop_delay = 0.0  # it waits in `_wait_for_data`
        self._wake_pipe = _WakePipe()
        self._messages = IncomingMessages(association, service, self._answer)
        self._busy = False
        self.titles = Titles()
        self.has_heard = False
        self._end_reason: str | None = None
        self.to_provider_queue = _NotifyingQueue(self._wake_pipe.wake)
        self.to_user_queue = _NotifyingQueue(self._wake_user)

    @property
    def end_reason(self) -> str:
        """Reason of an end without a release, in words."""
        return self._end_reason or "the connection was closed"

    def note_end(self, reason: str) -> None:
        """Record why the association ends; the first reason counts."""
        self._end_reason = self._end_reason or reason

    def run_reactor(self) -> None:
        """Run until the association has ended."""
        try:
            super().run_reactor()
        finally:
            self._messages.close()
            self._wake_pipe.close()

    def kill_dul(self) -> None:
        """End the thread."""
        super().kill_dul()
        self._wake_pipe.wake()

    def stop_dul(self) -> bool:
        """End the thread if the association has ended; return whether it has."""
        if self.state_machine.current_state == "Sta1":
            self.kill_dul()
        return super().stop_dul()

    def idle_timer_expired(self) -> bool:
        """Whether the peer was idle for too long; never while an instance is stored."""
        if self._busy or not super().idle_timer_expired():
            return False
        self.note_end(f"the peer sent nothing for {self.network_timeout:g} s")
        return True

    def _process_recv_primitive(self) -> bool:
        if self.state_machine.current_state not in _OVER:
            return super()._process_recv_primitive()
        # Primitives queued before the association ended are illegal in Sta1/Sta13: drop them.
        self.to_provider_queue.queue.clear()
        return False

    def _is_transport_event(self) -> bool:
        if self.state_machine.current_state == _AWAITING_CLOSE:
            return super()._is_transport_event()
        received = False
        # Several PDUs per turn of pynetdicom's loop, which costs more than one PDU.
        while self._wait_for_data():
            self._read_pdu_data()
            received = True
            if not self.to_provider_queue.empty():
                break
        return received

    def _read_pdu_data(self) -> None:
        transport = cast("PDUSocket", self.socket)
        try:
            kind, body = transport.read_pdu()
        except UnacceptablePDUError as error:
            self._note_refusal("pdu.refused", str(error))
            self.event_queue.put(_INVALID_PDU)  # answered with A-ABORT
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        except OSError as error:
            self.note_end(str(error) or type(error).__name__)
            log.debug("connection.lost", reason=str(error))
            self.event_queue.put(_CONNECTION_CLOSED)
            return
        self.has_heard = True
        try:
            self._take(kind, body)
        except BrokenMessageError as error:
            self._note_refusal("message.broken", str(error))
            self.event_queue.put(_INVALID_PDU)

    def _note_refusal(self, event: str, reason: str) -> None:
        self.has_heard = True
        self.note_end(reason)
        log.warning(
            event,
            address=self.assoc.requestor.address,
            calling_ae_title=escaped(self.titles.calling),
            called_ae_title=escaped(self.titles.called),
            reason=reason,
        )

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
        except BrokenMessageError:
            raise
        except Exception as error:  # pynetdicom's parser gets any bytes
            raise BrokenMessageError(f"{type(error).__name__} in a PDU") from error
        self.event_queue.put(event)
        self._recv_pdu.put(pdu)

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        if bytestream[0] == ABORT:
            self.note_end(describe_abort(bytes(bytestream)))
        if bytestream[0] != _ASSOCIATE_RQ:
            return super()._decode_pdu(bytearray(repaired(bytes(bytestream))))
        if self.titles == Titles():  # a second request in one association is refused
            self.titles = titles_of(bytes(bytestream))
        request = AssociationRequest()
        request.decode(bytes(bytestream))
        if request.protocol_version != _PROTOCOL_VERSION:  # pynetdicom rejects it without an event
            reason = f"protocol version {request.protocol_version:04X}H is not supported"
            self._note_refusal("association.rejected", reason)
            self.has_heard = False  # all is said
        return request, _ASSOCIATION_REQUESTED

    def _answer(self, pdu: bytes, delay_s: float) -> None:
        """Send an answer after its delay, or earlier if something else is to be sent."""
        deadline = time.monotonic() + delay_s
        while (left := deadline - time.monotonic()) > 0 and self.to_provider_queue.empty():
            self._poll([self._wake_pipe.reader], left)
        with cast("DIMSEProvider", self.assoc.dimse).sending:
            self._send_queued_data()
            if self.socket is not None:
                self.socket.send(pdu)

    def _send_queued_data(self) -> None:
        """Send the rest of a message that has begun, so that an answer does not split it."""
        waiting = self.to_provider_queue.queue
        while waiting and isinstance(waiting[0], P_DATA):
            self.state_machine.do_action(_P_DATA_REQUEST)

    def _wake_user(self) -> None:
        """Wake the association's thread, as pynetdicom itself does at an abort."""
        self.assoc.dimse.msg_queue.put((None, None))

    def _is_ahead(self) -> bool:
        return self.assoc.dimse.msg_queue.qsize() >= _REQUESTS_AHEAD

    def _wait_for_data(self) -> bool:
        """Wait for data; return False if there is something to send or a timer to check."""
        transport = cast("PDUSocket | None", self.socket)
        connection = None if transport is None else transport.socket
        if self._kill_thread or not self.event_queue.empty():
            return False
        if transport is None or connection is None or self._is_ahead():
            self._poll([self._wake_pipe.reader], _CHECK_AHEAD_S)
            return False
        if transport.has_data():
            return True
        return self._poll([self._wake_pipe.reader, connection], _CHECK_S)

    def _poll(self, sockets: list[socket.socket], timeout_s: float) -> bool:
        """Wait for the wake pipe or a connection; return whether the connection is ready."""
        poller = select.poll()
        try:
            for waited_for in sockets:
                poller.register(waited_for, select.POLLIN)
            ready = {descriptor for descriptor, _ in poller.poll(timeout_s * 1000)}
        except (OSError, ValueError):  # closed meanwhile; reading detects it
            return True
        wake_pipe = self._wake_pipe.reader.fileno()
        if wake_pipe in ready:
            self._wake_pipe.drain()
        return bool(ready - {wake_pipe})
