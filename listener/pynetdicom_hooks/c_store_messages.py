"""Messages of an open association: C-STORE bypasses pynetdicom.

pynetdicom makes an object of every PDU, fragment, command set and element, which takes ten times as
long as the rest of the work. So the fragments of a C-STORE go from the socket's buffer to the file
(PS3.8 9.3.5, E.2; PS3.7 6.3.1), and those of all other messages to pynetdicom.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pynetdicom.pdu_primitives import P_DATA

from listener.errors import BrokenMessageError
from listener.pynetdicom_hooks.commands import C_STORE_RQ, p_data, read_command, store_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from listener.pynetdicom_hooks.commands import CommandSet

_PDV = struct.Struct(">LBB")
_LENGTH_SIZE = 4
_COMMAND, _LAST = 0x01, 0x02
_COMMAND_LIMIT = 64 * 1024
# Other messages have lists of references at most; ten thousand of them take 2 MB.
_OTHER_DATA_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoreResponse:
    """Answer to a C-STORE request.

    Attributes:
        status: DIMSE status.
        comment: Error Comment (0000,0902) of a refusal, at most 64 characters.
        delay_s: seconds to wait before it is sent, so that the peer keeps to its rate.
    """

    status: int
    comment: str = ""
    delay_s: float = 0.0


class InstanceReceiver(Protocol):
    """Receiver of one instance; only the thread that reads the association calls it."""

    def write(self, fragment: memoryview) -> None:
        """Take the next part of the data set."""

    def finish(self) -> StoreResponse:
        """Keep the complete data set, and return the answer."""

    def close(self) -> None:
        """Release all resources, whether the data set is complete or not."""


class StoreService(Protocol):
    """SCP of C-STORE."""

    def begin(
        self, association: Association, context: PresentationContext, request: CommandSet
    ) -> InstanceReceiver:
        """Begin to take an instance."""


class IncomingMessages:
    """Assembler of messages from P-DATA-TF PDUs; only the thread that reads them uses it.

    Args:
        association: of the messages.
        service: receives the C-STORE requests.
        send: sends an encoded PDU after a delay in seconds.
    """

    def __init__(
        self,
        association: Association,
        service: StoreService,
        send: Callable[[bytes, float], None],
    ) -> None:
        self._association = association
        self._service = service
        self._send = send
        self._contexts: dict[int | None, PresentationContext] = {}
        self._context_id = 0
        self._command = bytearray()
        self._request: CommandSet | None = None
        self._receiving: InstanceReceiver | None = None
        self._other: int | None = None  # bytes of the data set of another message that is coming

    def take(self, body: memoryview) -> None:
        """Take the body of a P-DATA-TF PDU.

        Raises:
            BrokenMessageError: the standard does not allow it at this point.
        """
        position, end = 0, len(body)
        if not end:
            raise BrokenMessageError("a P-DATA-TF without a value")
        while position < end:
            if position + _PDV.size > end:
                raise BrokenMessageError("a P-DATA-TF ends inside a value's header")
            length, context_id, control = _PDV.unpack_from(body, position)
            value_end = position + _LENGTH_SIZE + length
            if value_end > end or length < _PDV.size - _LENGTH_SIZE:
                raise BrokenMessageError("a value is longer than its P-DATA-TF")
            fragment = body[position + _PDV.size : value_end]
            if control & _COMMAND:
                self._take_command(context_id, fragment, last=bool(control & _LAST))
            else:
                self._take_data(context_id, fragment, last=bool(control & _LAST))
            position = value_end

    def close(self) -> None:
        """Drop an incomplete instance."""
        if self._receiving is not None:
            self._receiving.close()
            self._receiving = None

    def _take_command(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        if self._receiving is not None or self._other is not None:
            raise BrokenMessageError("a command inside a data set")
        if self._command and context_id != self._context_id:
            raise BrokenMessageError("a command in two presentation contexts")
        self._context_id = context_id
        self._command += fragment
        if len(self._command) > _COMMAND_LIMIT:
            raise BrokenMessageError("a command set without end")
        if last:
            encoded, self._command = bytes(self._command), bytearray()
            self._begin(read_command(encoded), encoded)

    def _begin(self, command: CommandSet, encoded: bytes) -> None:
        if command.field != C_STORE_RQ:
            self._pass_on(_COMMAND | _LAST, encoded)
            self._other = 0 if command.has_data_set else None
            return
        if not self._contexts:
            accepted = self._association.accepted_contexts
            self._contexts = {context.context_id: context for context in accepted}
        context = self._contexts.get(self._context_id)
        if context is None:
            raise BrokenMessageError("a C-STORE in a presentation context that was not accepted")
        self._request = command
        self._receiving = self._service.begin(self._association, context, command)
        if not command.has_data_set:
            self._finish()

    def _take_data(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        if self._receiving is None and self._other is None:
            raise BrokenMessageError("a data set without a command")
        if context_id != self._context_id:
            raise BrokenMessageError("a message in two presentation contexts")
        if self._receiving is not None:
            self._receiving.write(fragment)
            if last:
                self._finish()
            return
        assert self._other is not None
        self._other += len(fragment)
        if self._other > _OTHER_DATA_LIMIT:
            raise BrokenMessageError("a data set larger than any message but C-STORE has")
        self._pass_on(_LAST if last else 0, bytes(fragment))
        if last:
            self._other = None

    def _finish(self) -> None:
        assert self._receiving is not None
        assert self._request is not None
        try:
            answer = self._receiving.finish()
            command = store_response(self._request, status=answer.status, comment=answer.comment)
            max_length = self._association.requestor.maximum_length or 0
            self._send(p_data(self._context_id, command, max_length=max_length), answer.delay_s)
        finally:
            self.close()  # after the answer, so that the sender does not wait for it

    def _pass_on(self, control: int, fragment: bytes) -> None:
        primitive = P_DATA()
        value = bytes((control,)) + fragment
        primitive.presentation_data_value_list.append((self._context_id, value))
        try:
            self._association.dimse.receive_primitive(primitive)
        except Exception as error:  # pynetdicom's parser gets any bytes
            raise BrokenMessageError(f"{type(error).__name__} in a message") from error
