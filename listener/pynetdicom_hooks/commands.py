"""Command sets of C-STORE, read and written without an object per element (PS3.7 9.3.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from listener.errors import BrokenMessageError

C_STORE_RQ = 0x0001
_C_STORE_RSP = 0x8001
_NO_DATA_SET = 0x0101

_GROUP_LENGTH = 0x0000
_SOP_CLASS = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_RESPONDED_TO = 0x0120
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_SOP_INSTANCE = 0x1000

_ELEMENT = struct.Struct("<HHL")
_SHORT = struct.Struct("<H")
_PDV = struct.Struct(">BBLLBB")
_P_DATA_TF = 0x04
_LAST_COMMAND, _COMMAND = 0x03, 0x01


@dataclass(frozen=True, slots=True)
class CommandSet:
    """Elements of a command set that select a message and answer a C-STORE.

    Attributes:
        field: Command Field (PS3.7 E.1).
        message_id: Message ID.
        sop_class_uid: Affected SOP Class UID without padding, not validated.
        sop_instance_uid: Affected SOP Instance UID, likewise.
        has_data_set: whether a data set follows.
    """

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def read_command(encoded: bytes) -> CommandSet:
    """Decode a command set from implicit VR little endian (PS3.7 6.3.1).

    Raises:
        BrokenMessageError: it is cut short, of another group, or has no Command Field.
    """
    elements: dict[int, bytes] = {}
    position, end = 0, len(encoded)
    while position < end:
        if position + _ELEMENT.size > end:
            raise BrokenMessageError("a command set ends inside an element")
        group, element, length = _ELEMENT.unpack_from(encoded, position)
        position += _ELEMENT.size
        if group != 0 or position + length > end:
            raise BrokenMessageError("a command set is broken")
        elements[element] = encoded[position : position + length]
        position += length
    field = _number(elements, _COMMAND_FIELD)
    if field is None:
        raise BrokenMessageError("a command set without Command Field")
    return CommandSet(
        field=field,
        message_id=_number(elements, _MESSAGE_ID) or 0,
        sop_class_uid=_text(elements, _SOP_CLASS),
        sop_instance_uid=_text(elements, _SOP_INSTANCE),
        has_data_set=_number(elements, _DATA_SET_TYPE) != _NO_DATA_SET,
    )


def store_response(request: CommandSet, *, status: int, comment: str = "") -> bytes:
    """Encode the command set of a C-STORE-RSP (PS3.7 table 9.3-2)."""
    body = b"".join(
        (
            _element(_SOP_CLASS, request.sop_class_uid.encode("ascii", "replace"), b"\0"),
            _element(_COMMAND_FIELD, _SHORT.pack(_C_STORE_RSP)),
            _element(_RESPONDED_TO, _SHORT.pack(request.message_id)),
            _element(_DATA_SET_TYPE, _SHORT.pack(_NO_DATA_SET)),
            _element(_STATUS, _SHORT.pack(status)),
            _element(_ERROR_COMMENT, comment.encode("ascii", "replace")[:64], b" ")
            if comment
            else b"",
            _element(_SOP_INSTANCE, request.sop_instance_uid.encode("ascii", "replace"), b"\0"),
        )
    )
    return _element(_GROUP_LENGTH, struct.pack("<L", len(body))) + body


def p_data(context_id: int, command: bytes, *, max_length: int) -> bytes:
    """Encode a command set as P-DATA-TF PDUs (PS3.8 9.3.5).

    Args:
        context_id: of the presentation context, odd, 1 to 255.
        command: the encoded command set.
        max_length: largest PDU that the peer receives, in bytes without header; 0: any.
    """
    room = max(max_length - 6, 1) if max_length else len(command)
    pdus = []
    for start in range(0, len(command), room):
        fragment = command[start : start + room]
        control = _LAST_COMMAND if start + room >= len(command) else _COMMAND
        length = len(fragment) + 2
        pdus.append(_PDV.pack(_P_DATA_TF, 0, length + 4, length, context_id, control) + fragment)
    return b"".join(pdus)


def _number(elements: dict[int, bytes], element: int) -> int | None:
    value = elements.get(element, b"")
    return int(_SHORT.unpack(value)[0]) if len(value) == _SHORT.size else None


def _text(elements: dict[int, bytes], element: int) -> str:
    return elements.get(element, b"").decode("ascii", errors="replace").rstrip("\0 ")


def _element(element: int, value: bytes, padding: bytes = b"") -> bytes:
    if len(value) % 2:
        value += padding
    return _ELEMENT.pack(0, element, len(value)) + value
