"""PDUs of association negotiation, repaired before pynetdicom decodes them (PS3.8 9.3.2 to 9.3.8).

pynetdicom aborts an association for an item that it does not know, for a title padded with NUL and
for a version name of 17 characters. DCMTK skips or shortens these, and so do we. An item that is
needed to understand the peer and can't be read is still an error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from listener.errors import BrokenMessageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, ABORT = 0x01, 0x02, 0x03, 0x07

_PDU_HEADER = struct.Struct(">BxL")
_ITEM_HEADER = struct.Struct(">BxH")
_FIXED_END = 74  # of the fields before the items
_CALLED, _CALLING = slice(10, 26), slice(26, 42)
_TITLE_SIZE = 16

_APPLICATION_CONTEXT, _USER_INFORMATION = 0x10, 0x50
_CONTEXT_RQ, _CONTEXT_AC = 0x20, 0x21
_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX = 0x30, 0x40
_MAXIMUM_LENGTH, _IMPLEMENTATION_UID, _ROLES, _VERSION_NAME = 0x51, 0x52, 0x54, 0x55

# The other sub-items (asynchronous operations, extended negotiation, user identity) are options
# that we don't support. An acceptor says so by no answer (PS3.7 D.3.3), whatever is in them.
_READ_SUB_ITEMS = (_MAXIMUM_LENGTH, _IMPLEMENTATION_UID, _ROLES, _VERSION_NAME)

_LONGEST_UID = 64
_LONGEST_VERSION_NAME = 16
_NO_SYNTAX = b"0.0"  # in the place of a missing one: no peer and no SOP class has it
_TRANSFER_SYNTAX_NOT_SUPPORTED = 4
# Of a peer that does not say how much it takes (PS3.8 D.1 requires it to): what all take.
_DEFAULT_MAXIMUM_LENGTH = (16384).to_bytes(4, "big")

_REJECTION_REASONS = {1: (1, 2, 3, 7), 2: (1, 2), 3: (1, 2)}
_ABORT_REASONS = (0, 1, 2, 4, 5, 6)
# A context of twenty transfer syntaxes has about 600 bytes; a longer one is not cached.
_MAX_CACHED_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Titles:
    """AE titles of a request as the peer meant them: without padding, else not validated."""

    calling: str = ""
    called: str = ""


def titles_of(pdu: bytes) -> Titles:
    """Read the titles of an A-ASSOCIATE-RQ, even of one that is broken behind them."""
    return Titles(calling=_title(pdu[_CALLING]), called=_title(pdu[_CALLED]))


def repaired(pdu: bytes) -> bytes:
    """Return a PDU as pynetdicom takes it; one without anything to repair keeps its meaning.

    - AE titles end at a NUL; characters outside the default repertoire become "?".
    - Protocol Version is judged by its first bit (PS3.8 table 9-11).
    - Unknown items, options that we don't support, and bytes behind the last item are left out.
    - UIDs lose spaces and NULs at their ends; version names are cut to 16 characters.
    - A syntax that can't be read (missing, not ASCII, over 64 characters) is none that we accept.
    - Presentation contexts with an even or repeated ID are left out, and so are not accepted.
    - Results, sources and reasons of other values than the standard's become "no reason given".

    Args:
        pdu: a whole PDU; one of data transfer or release is returned unchanged.

    Raises:
        BrokenMessageError: an item that is needed can't be read.
    """
    kind = pdu[0]
    if kind in (ASSOCIATE_RQ, ASSOCIATE_AC):
        return _repaired_associate(pdu)
    if kind == ASSOCIATE_RJ:
        result, source, reason = pdu[6:].ljust(4, b"\0")[1:4]
        source = source if source in _REJECTION_REASONS else 1
        reason = reason if reason in _REJECTION_REASONS[source] else 1
        return _pdu(kind, bytes((0, 2 if result == 2 else 1, source, reason)))
    if kind == ABORT:
        source, reason = pdu[6:].ljust(4, b"\0")[2:4]
        source = source if source in (0, 2) else 0
        return _pdu(kind, bytes((0, 0, source, reason if reason in _ABORT_REASONS else 0)))
    return pdu


def _repaired_associate(pdu: bytes) -> bytes:
    if len(pdu) < _FIXED_END:
        raise BrokenMessageError(f"an A-ASSOCIATE PDU of {len(pdu)} bytes, shorter than its fields")
    requested = pdu[0] == ASSOCIATE_RQ
    context = _CONTEXT_RQ if requested else _CONTEXT_AC
    known = (_APPLICATION_CONTEXT, context, _USER_INFORMATION)
    items: list[bytes] = []
    once: set[tuple[int, int]] = set()
    for kind, value in _items(pdu[_FIXED_END:], known, where="the PDU"):
        key = (kind, value[0] if kind == context and value else 0)
        if key in once:
            continue
        item = _repaired_item(kind, value)
        if item is not None:
            once.add(key)
            items.append(item)
    if (_USER_INFORMATION, 0) not in once:
        items.append(_repaired_user_information(b""))
    version = 1 if pdu[7] & 1 else pdu[7]
    titles = _plain_title(pdu[_CALLED]) + _plain_title(pdu[_CALLING])
    fixed = struct.pack(">HH", version, 0) + titles
    return _pdu(pdu[0], fixed.ljust(_FIXED_END - _PDU_HEADER.size, b"\0") + b"".join(items))


def _repaired_item(kind: int, value: bytes) -> bytes | None:
    if kind == _APPLICATION_CONTEXT:
        uid = _clean_uid(value)
        return _item(kind, uid if _is_readable(uid) else _NO_SYNTAX)
    if kind == _USER_INFORMATION:
        return _repaired_user_information(value)
    read = _cached_context if len(value) <= _MAX_CACHED_BYTES else _repaired_context
    return read(kind, value)


def _repaired_user_information(value: bytes) -> bytes:
    sub_items = {
        (kind, part if kind == _ROLES else b""): _repaired_sub_item(kind, part)
        for kind, part in _items(value, _READ_SUB_ITEMS, where="the user information")
    }
    if not sub_items.get((_MAXIMUM_LENGTH, b"")):
        sub_items[_MAXIMUM_LENGTH, b""] = _item(_MAXIMUM_LENGTH, _DEFAULT_MAXIMUM_LENGTH)
    return _item(_USER_INFORMATION, b"".join(sub_items.values()))


def _repaired_context(kind: int, value: bytes) -> bytes | None:
    if len(value) < 4 or value[0] % 2 == 0:
        return None
    known = (_ABSTRACT_SYNTAX, _TRANSFER_SYNTAX)
    where = f"presentation context {value[0]}"
    syntaxes = [(kind, _clean_uid(uid)) for kind, uid in _items(value[4:], known, where=where)]
    transfer = [uid for kind, uid in syntaxes if kind == _TRANSFER_SYNTAX and _is_readable(uid)]
    if kind == _CONTEXT_AC:
        result = value[2] if value[2] <= _TRANSFER_SYNTAX_NOT_SUPPORTED else 1
        if result == 0 and not transfer:
            result = _TRANSFER_SYNTAX_NOT_SUPPORTED
        # The syntax of a context that was not accepted has no meaning (PS3.8 9.3.3.2).
        encoded = _item(_TRANSFER_SYNTAX, transfer[0]) if result == 0 else b""
        return _item(kind, bytes((value[0], 0, result, 0)) + encoded)
    abstract = [uid for kind, uid in syntaxes if kind == _ABSTRACT_SYNTAX and _is_readable(uid)]
    encoded = _item(_ABSTRACT_SYNTAX, abstract[0] if abstract else _NO_SYNTAX)
    encoded += b"".join(_item(_TRANSFER_SYNTAX, uid) for uid in transfer or [_NO_SYNTAX])
    return _item(kind, bytes((value[0], 0, 0, 0)) + encoded)


_cached_context = lru_cache(maxsize=1024)(_repaired_context)


def _repaired_sub_item(kind: int, value: bytes) -> bytes:
    """Return a sub-item of the user information; empty where it can't be used."""
    if kind == _MAXIMUM_LENGTH:
        return _item(kind, value[:4]) if len(value) >= 4 else b""
    if kind == _IMPLEMENTATION_UID:
        uid = _clean_uid(value)
        return _item(kind, uid) if _is_readable(uid) else b""
    if kind == _VERSION_NAME:
        name = _plain(_title(value))[:_LONGEST_VERSION_NAME].strip()
        return _item(kind, name.encode()) if name else b""
    size = int.from_bytes(value[:2], "big")
    uid, roles = _clean_uid(value[2 : 2 + size]), value[2 + size : 4 + size]
    if len(roles) < 2 or not _is_readable(uid):
        return b""
    return _item(kind, len(uid).to_bytes(2, "big") + uid + bytes(map(bool, roles)))


def _items(data: bytes, known: Collection[int], *, where: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and value of each known item; what is no whole item at the end is left out."""
    position = 0
    while position + _ITEM_HEADER.size <= len(data):
        kind, length = _ITEM_HEADER.unpack_from(data, position)
        begin = position + _ITEM_HEADER.size
        position = begin + length
        if kind not in known:
            continue
        if position > len(data):
            raise BrokenMessageError(f"an item of type {kind:02X}H is longer than {where}")
        yield kind, data[begin:position]


def _pdu(kind: int, body: bytes) -> bytes:
    return _PDU_HEADER.pack(kind, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM_HEADER.pack(kind, len(value)) + value


def _clean_uid(value: bytes) -> bytes:
    return value.partition(b"\0")[0].strip(b" ")


def _is_readable(uid: bytes) -> bool:
    return uid.isascii() and 0 < len(uid) <= _LONGEST_UID


def _title(value: bytes) -> str:
    return value.partition(b"\0")[0].decode("latin-1").strip(" ")


def _plain_title(value: bytes) -> bytes:
    return _plain(_title(value)).strip().ljust(1, "?").ljust(_TITLE_SIZE).encode()


def _plain(text: str) -> str:
    """Replace characters outside the default repertoire, and the backslash (PS3.5 6.2, AE)."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
