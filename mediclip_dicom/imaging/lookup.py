"""Lookup tables of a header: LUT Data of a modality or VOI LUT, and palettes.

Writers disagree about the form of the entries more than about anything else in a header: 8 bits in
words of 16 (PS3.3 C.7.6.3.1.6, note), entries of 12 bits under a descriptor that says 16, a first
mapped value whose VR has the wrong sign. The entries themselves decide where the descriptor can't
be true.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

Integers = npt.NDArray[np.int64]

_COLOURS = ("Red", "Green", "Blue")

# A table whose brightest entry is below a quarter of the range that its descriptor announces was
# announced wrongly: nobody means a picture to be that dark. Between a quarter and a half it may be
# meant.
_UNUSED_BITS = 2


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Lookup table.

    Attributes:
        entries: int64, shape (entries,).
        first: stored or modality value that the first entry is for.
        largest: the entry that stands for full brightness.
    """

    entries: Integers
    first: int
    largest: int

    def look_up(self, values: npt.NDArray[Any]) -> Integers:
        """Return the entries of values; beyond either end the end's entry holds."""
        index = np.rint(values).astype(np.int64) - self.first
        looked_up: Integers = self.entries[np.clip(index, 0, len(self.entries) - 1)]
        return looked_up


def read_table(item: Dataset, *, lowest: float, highest: float, big_endian: bool) -> LookupTable:
    """Read an item of a Modality LUT Sequence or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1).

    Args:
        item: holds LUT Descriptor and LUT Data.
        lowest: of the values that may be looked up: stored values for a modality LUT, else
            the values after the modality transformation.
        highest: of them.
        big_endian: byte order of the data set.

    Raises:
        ValueError: fewer entries than announced, or all of them the same.
    """
    count, first, bits = _descriptor(item.LUTDescriptor)
    entries = _entries(item.LUTData, count=count, bits=bits, big_endian=big_endian)
    if entries.size > 1 and int(entries.min()) == int(entries.max()):
        raise ValueError("every entry of a LUT is the same: it shows nothing")
    return LookupTable(entries, _with_sign(first, lowest, highest), _largest(entries, bits))


def read_palette(
    dataset: Dataset, *, lowest: int, highest: int, big_endian: bool
) -> tuple[LookupTable, ...]:
    """Read the red, green and blue palette (PS3.3 C.7.6.3.1.5, segmented: C.7.9.2).

    Args:
        dataset: the instance's attributes.
        lowest: of the stored values.
        highest: of the stored values.
        big_endian: byte order of the data set.

    Raises:
        ValueError: a palette is missing or shorter than announced.
    """
    tables: list[tuple[int, Integers]] = []
    for colour in _COLOURS:
        descriptor = dataset.get(f"{colour}PaletteColorLookupTableDescriptor")
        plain = dataset.get(f"{colour}PaletteColorLookupTableData")
        segments = dataset.get(f"Segmented{colour}PaletteColorLookupTableData")
        if descriptor is None or (plain is None and segments is None):
            raise ValueError(f"the {colour.lower()} palette is missing")
        count, first, bits = _descriptor(descriptor)
        entries = (
            _entries(plain, count=count, bits=bits, big_endian=big_endian)
            if plain is not None
            else _Segments(
                _segment_values(segments, bits=bits, big_endian=big_endian), wide=bits > 8
            ).expand(count)
        )
        tables.append((_with_sign(first, lowest, highest), entries))
    # Palettes have 8 or 16 bits; the descriptor says 16 for one that was made of 8, and the
    # reverse.
    largest = 255 if max(int(entries.max()) for _, entries in tables) <= 255 else 65535
    return tuple(LookupTable(entries, first, largest) for first, entries in tables)


def _descriptor(value: Any) -> tuple[int, int, int]:
    if value is None or isinstance(value, str | int) or len(value) != 3:
        raise ValueError("a LUT Descriptor is not three numbers")
    count, first, bits = (int(number) for number in value)
    # 65536 does not fit into 16 bits and is written as 0; read as signed, 32768 and more are
    # negative.
    return count % 2**16 or 2**16, first, bits


def _with_sign(first: int, lowest: float, highest: float) -> int:
    """Return the first mapped value in the sign that the values to be looked up have.

    Its VR may be US or SS, in an implicit syntax it is not written down at all, and in an explicit
    one it is often the wrong one: the range of the values decides (PS3.3 C.11.2.1.1).
    """
    unsigned = first % 2**16
    signed = unsigned - 2**16 if unsigned >= 2**15 else unsigned
    if lowest >= 0:
        return unsigned
    return signed if highest < 2**15 or first < 0 or unsigned > highest else unsigned


def _entries(data: Any, *, count: int, bits: int, big_endian: bool) -> Integers:
    if isinstance(data, bytes):
        if len(data) >= 2 * count:
            values = np.frombuffer(data[: 2 * count], dtype=">u2" if big_endian else "<u2")
        else:
            # Entries of 8 bits in words, two in each: the byte order of the words is the data
            # set's.
            values = np.frombuffer(_swapped(data) if big_endian else data, dtype=np.uint8)
        table = values.astype(np.int64)
    else:
        # A VR of numbers; read as signed, entries of 16 bits come out negative.
        table = np.asarray(data, dtype=np.int64).reshape(-1) % 2**16
        if bits <= 8 and table.size < count <= 2 * table.size:
            table = np.stack([table % 256, table // 256], axis=1).reshape(-1)
    if table.size < count:
        raise ValueError(f"a LUT announces {count} entries and holds {table.size}")
    return table[:count]


def _largest(entries: Integers, bits: int) -> int:
    used = max(1, int(entries.max()).bit_length())
    if not used <= bits <= 16 or bits - used >= _UNUSED_BITS:
        bits = used
    return int(2**bits - 1)


def _segment_values(data: Any, *, bits: int, big_endian: bool) -> list[int]:
    if not isinstance(data, bytes):
        return [int(value) % 2**16 for value in data]
    if bits > 8:
        words = np.frombuffer(data[: len(data) // 2 * 2], ">u2" if big_endian else "<u2")
        return [int(word) for word in words]
    return list(_swapped(data) if big_endian else data)


def _swapped(data: bytes) -> bytes:
    return np.frombuffer(data + b"\0" * (len(data) % 2), dtype="<u2").byteswap().tobytes()


class _Segments:
    """Segments of a palette: discrete, linear and indirect ones (PS3.3 C.7.9.2).

    Args:
        values: of 16 bits, or of 8.
        wide: they are of 16 bits.
    """

    def __init__(self, values: Sequence[int], *, wide: bool) -> None:
        self._values = values
        self._wide = wide
        self._entries: list[int] = []

    def expand(self, count: int) -> Integers:
        """Return the first `count` entries.

        Raises:
            ValueError: they are fewer, or a segment is of none of the three types.
        """
        self._append(0, segments=len(self._values), count=count, indirect=False)
        if len(self._entries) < count:
            raise ValueError(
                f"a segmented palette announces {count} entries and holds {len(self._entries)}"
            )
        return np.asarray(self._entries[:count], dtype=np.int64)

    def _append(self, position: int, *, segments: int, count: int, indirect: bool) -> None:
        values, entries = self._values, self._entries
        for _ in range(segments):
            # A byte may follow the last segment to make the length even.
            if position + 2 >= len(values) or len(entries) >= count:
                return
            opcode, length = values[position], values[position + 1]
            position += 2
            if opcode == 0:
                entries += values[position : position + length]
                position += length
            elif opcode == 1 and entries:
                # From the entry before, which is not repeated, to the one given.
                line = np.linspace(entries[-1], values[position], length + 1)[1:]
                entries += np.floor(line + 0.5).astype(int).tolist()
                position += 1
            elif opcode == 2 and not indirect:
                offset, used = self._offset(position)
                self._append(offset, segments=length, count=count, indirect=True)
                position += used
            else:
                raise ValueError(f"a segmented palette has a segment of type {opcode} out of place")

    def _offset(self, position: int) -> tuple[int, int]:
        """Return the index that an indirect segment names, and the number of values it takes.

        In the table it is a number of bytes, of 32 bits, the lower half first.
        """
        if self._wide:
            low, high = self._values[position : position + 2]
            return (low + (high << 16)) // 2, 2
        return int.from_bytes(bytes(self._values[position : position + 4]), "little"), 4
