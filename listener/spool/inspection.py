"""Check that a data set is complete, and read the UIDs of its SOP instance, without pixels.

The walk follows PS3.5 7.1, 7.5 and A.4 over the top level of a data set: it reads each header and
skips the value by its length, so it detects every value that ends behind the data.
"""

from __future__ import annotations

import functools
import struct
import zlib
from dataclasses import dataclass

from pydicom.uid import UID

from listener.contexts import IMAGE_SOP_CLASSES
from listener.errors import InvalidInstanceError
from listener.uids import clean_uid

DEFAULT_INFLATED_LIMIT = 256 * 1024 * 1024
"""Largest size in bytes that a deflated data set may inflate to."""

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR"))
_LONG_VRS |= {b"UT", b"UV"}
_SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split(b" ")
)
_MAX_DEPTH = 64
# An enhanced image of 10,000 frames has far fewer than a million. A deflated data set of a few
# kilobytes can hold hundreds of millions of empty items, which would take a thread minutes.
_MAX_HEADERS = 2_000_000

_SOP_CLASS = 0x00080016
_SOP_INSTANCE = 0x00080018
_STUDY_INSTANCE = 0x0020000D
_SERIES_INSTANCE = 0x0020000E
_SAMPLES = 0x00280002
_PHOTOMETRIC = 0x00280004
_FRAMES = 0x00280008
_ROWS = 0x00280010
_COLUMNS = 0x00280011
_BITS_ALLOCATED = 0x00280100
_PIXEL_DATA = 0x7FE00010
_PIXEL_GROUP = 0x7FE0
_FLOAT_PIXELS = (0x7FE00008, 0x7FE00009)
_WANTED = frozenset((_SOP_CLASS, _SOP_INSTANCE, _STUDY_INSTANCE, _SERIES_INSTANCE, _SAMPLES))
_WANTED |= {_PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED}


@dataclass(frozen=True, slots=True)
class InstanceIdentity:
    """UIDs of a SOP instance, validated, without padding."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str


def inspect(
    data: bytes | memoryview,
    *,
    transfer_syntax_uid: str,
    inflated_limit: int = DEFAULT_INFLATED_LIMIT,
) -> InstanceIdentity:
    """Return the UIDs of a data set after checking that it is complete.

    Args:
        data: the encoded data set, without preamble and file meta.
        transfer_syntax_uid: of the encoding.
        inflated_limit: largest size in bytes that a deflated data set may inflate to.

    Raises:
        InvalidInstanceError: it can't be parsed, is cut short, lacks a UID, or its pixel data is
            too short for its rows, columns and frames (PS3.3 C.7.6.3, PS3.5 8).
    """
    encoding = _encoding(transfer_syntax_uid)
    if encoding.deflated:
        data = _inflate(data, limit=inflated_limit)
    walk = _Walk(memoryview(data), implicit=encoding.implicit, little=encoding.little)
    walk.top_level()
    identity = InstanceIdentity(
        study_instance_uid=clean_uid(walk.value(_STUDY_INSTANCE), name="StudyInstanceUID"),
        series_instance_uid=clean_uid(walk.value(_SERIES_INSTANCE), name="SeriesInstanceUID"),
        sop_instance_uid=clean_uid(walk.value(_SOP_INSTANCE), name="SOPInstanceUID"),
        sop_class_uid=clean_uid(walk.value(_SOP_CLASS), name="SOPClassUID"),
    )
    _check_pixel_data(
        walk,
        encapsulated=encoding.encapsulated,
        is_image=identity.sop_class_uid in IMAGE_SOP_CLASSES,
    )
    return identity


@dataclass(frozen=True, slots=True)
class _Encoding:
    """Encoding rules of a transfer syntax (PS3.5 10, annex A)."""

    implicit: bool
    little: bool
    deflated: bool
    encapsulated: bool


@functools.lru_cache(maxsize=128)
def _encoding(transfer_syntax_uid: str) -> _Encoding:
    syntax = UID(transfer_syntax_uid)
    if not syntax.is_transfer_syntax:
        raise InvalidInstanceError("unknown transfer syntax")
    return _Encoding(
        implicit=syntax.is_implicit_VR,
        little=syntax.is_little_endian,
        deflated=syntax.is_deflated,
        encapsulated=syntax.is_encapsulated,
    )


def _inflate(data: bytes | memoryview, *, limit: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, limit)
    except zlib.error as error:
        raise InvalidInstanceError("deflated data set can't be inflated") from error
    if inflater.unconsumed_tail:
        raise InvalidInstanceError(f"deflated data set inflates to over {limit} bytes")
    if not inflater.eof:
        raise InvalidInstanceError("deflated data set is cut short")
    return inflated


class _Walk:
    """One pass over the headers of a data set, which keeps the values of a few elements."""

    def __init__(self, data: memoryview, *, implicit: bool, little: bool) -> None:
        self._data = data
        self._end = len(data)
        self._implicit = implicit
        self._little = little
        order = "<" if little else ">"
        self._implicit_header = struct.Struct(order + "HHL")
        self._explicit_header = struct.Struct(order + "HH2sH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "L")
        self._values: dict[int, bytes] = {}
        self._headers = 0
        self.pixel_length: int | None = None  # bytes, or _UNDEFINED when encapsulated
        self.float_pixels = False
        self.fragments = 0  # of encapsulated Pixel Data, Basic Offset Table not counted

    def value(self, tag: int) -> bytes:
        return self._values.get(tag, b"")

    def number(self, tag: int) -> int | None:
        """Return the first value of a US element; None if it is absent."""
        value = self.value(tag)
        return self._short.unpack_from(value)[0] if len(value) >= self._short.size else None

    def top_level(self) -> None:
        position = 0
        while position < self._end:
            if not self._implicit:
                position = self._short_elements(position)
                if position == self._end:
                    return
            tag, length, position = self._header(position, implicit=self._implicit)
            if tag == _PIXEL_DATA:
                self.pixel_length = length
            elif tag in _FLOAT_PIXELS:
                self.float_pixels = True
            if length != _UNDEFINED:
                value_end = self._within(position, length, tag)
                if tag in _WANTED:
                    self._values[tag] = bytes(self._data[position:value_end])
                position = value_end
            elif tag == _PIXEL_DATA:
                position = self._fragments(position)
            else:
                position = self._undefined_length(position, implicit=self._implicit, depth=0)

    def _short_elements(self, position: int) -> int:
        """Skip the elements with a two-byte length, most of a data set, without a call for each.

        Returns:
            Position of the first other element, or of one that is not complete.
        """
        data, end, unpack = self._data, self._end, self._explicit_header.unpack_from
        for _ in range(_MAX_HEADERS - self._headers):
            if position + 8 > end:
                break
            group, element, vr, length = unpack(data, position)
            value_end = position + 8 + length
            if vr not in _SHORT_VRS or group >= _PIXEL_GROUP or value_end > end:
                break
            tag = group << 16 | element
            if tag in _WANTED:
                self._values[tag] = bytes(data[position + 8 : value_end])
            self._headers += 1
            position = value_end
        return position

    def _header(self, position: int, *, implicit: bool) -> tuple[int, int, int]:
        """Return the tag, the length of the value and the position of the value."""
        if position + 8 > self._end:
            raise InvalidInstanceError("data set ends inside an element header")
        self._headers += 1
        if self._headers > _MAX_HEADERS:
            raise InvalidInstanceError(f"more than {_MAX_HEADERS} elements and items")
        if implicit:
            group, element, length = self._implicit_header.unpack_from(self._data, position)
            return group << 16 | element, length, position + 8
        group, element, vr, length = self._explicit_header.unpack_from(self._data, position)
        tag = group << 16 | element
        if vr in _SHORT_VRS and group != 0xFFFE:
            return tag, length, position + 8
        if group == 0xFFFE:  # items and their ends have no VR (PS3.5 7.5)
            return tag, self._long.unpack_from(self._data, position + 4)[0], position + 8
        if vr not in _LONG_VRS:
            raise InvalidInstanceError(f"unknown VR at element ({group:04X},{element:04X})")
        if position + 12 > self._end:
            raise InvalidInstanceError("data set ends inside an element header")
        length = self._long.unpack_from(self._data, position + 8)[0]
        if vr == b"UN" and length == _UNDEFINED:
            # PS3.5 6.2.2 note: UN of undefined length is a sequence in implicit VR little endian.
            if not self._little:
                raise InvalidInstanceError("UN of undefined length in big endian")
            return tag, 0, self._undefined_length(position + 12, implicit=True, depth=0)
        return tag, length, position + 12

    def _within(self, position: int, length: int, tag: int) -> int:
        if position + length > self._end:
            missing = position + length - self._end
            raise InvalidInstanceError(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}) cut short, {missing} bytes missing"
            )
        return position + length

    def _undefined_length(self, position: int, *, implicit: bool, depth: int) -> int:
        """Return the end of a sequence of undefined length (PS3.5 7.5.2)."""
        if depth > _MAX_DEPTH:
            raise InvalidInstanceError(f"sequences nested deeper than {_MAX_DEPTH}")
        while True:
            tag, length, position = self._header(position, implicit=True)
            if tag == _SEQUENCE_END:
                return position
            if tag != _ITEM:
                raise InvalidInstanceError("sequence of undefined length is broken")
            if length != _UNDEFINED:
                position = self._within(position, length, tag)
                continue
            position = self._item(position, implicit=implicit, depth=depth)

    def _item(self, position: int, *, implicit: bool, depth: int) -> int:
        while True:
            tag, length, position = self._header(position, implicit=implicit)
            if tag == _ITEM_END:
                return position
            if length != _UNDEFINED:
                position = self._within(position, length, tag)
            elif tag == _PIXEL_DATA:  # of an icon image
                position = self._skip_fragments(position)[0]
            else:
                position = self._undefined_length(position, implicit=implicit, depth=depth + 1)

    def _fragments(self, position: int) -> int:
        position, items = self._skip_fragments(position)
        self.fragments = max(items - 1, 0)
        return position

    def _skip_fragments(self, position: int) -> tuple[int, int]:
        """Return the end of encapsulated pixel data and its number of items (PS3.5 A.4)."""
        items = 0
        while True:
            tag, length, position = self._header(position, implicit=True)
            if tag == _SEQUENCE_END:
                return position, items
            if tag != _ITEM or length == _UNDEFINED:
                raise InvalidInstanceError("encapsulated Pixel Data is broken")
            position = self._within(position, length, _PIXEL_DATA)
            items += 1


def _check_pixel_data(walk: _Walk, *, encapsulated: bool, is_image: bool) -> None:
    rows, columns = walk.number(_ROWS), walk.number(_COLUMNS)
    if not rows or not columns:
        if is_image:
            raise InvalidInstanceError("image without Rows and Columns")
        return
    if walk.pixel_length is None:
        if walk.float_pixels:
            return
        raise InvalidInstanceError("image without Pixel Data")
    frames = _frames(walk.value(_FRAMES))
    if encapsulated:
        if walk.pixel_length != _UNDEFINED:
            raise InvalidInstanceError("Pixel Data is not encapsulated as its syntax says")
        if walk.fragments < frames:
            raise InvalidInstanceError(f"{walk.fragments} fragments for {frames} frames")
        return
    if walk.pixel_length == _UNDEFINED:
        raise InvalidInstanceError("Pixel Data is encapsulated, its syntax says native")
    samples = walk.number(_SAMPLES) or 1
    bits = walk.number(_BITS_ALLOCATED) or 8
    photometric = walk.value(_PHOTOMETRIC).strip(b"\0 ")
    pixels = rows * columns * frames
    if photometric in (b"YBR_FULL_422", b"YBR_PARTIAL_422") and samples == 3:
        samples = 2  # PS3.3 C.7.6.3.1.2: one pair of chroma samples for two pixels
    needed = (pixels * samples * bits + 7) // 8
    if walk.pixel_length < needed:
        missing = needed - walk.pixel_length
        raise InvalidInstanceError(f"Pixel Data is {missing} bytes shorter than the image")


def _frames(value: bytes) -> int:
    try:
        return max(int(value.strip(b"\0 ") or b"1"), 1)
    except ValueError as error:
        raise InvalidInstanceError("NumberOfFrames is not a number") from error
