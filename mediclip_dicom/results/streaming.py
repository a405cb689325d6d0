"""Multi-frame objects encoded frame by frame: the memory that they need does not grow with frames.

pydicom and highdicom hold every functional group and every pixel of an object at once, and deflate
a copy of it. Here frames are made one after the other, and each goes through the deflater into the
file before the next is made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

_PER_FRAME_GROUPS = Tag("PerFrameFunctionalGroupsSequence")
_PIXEL_DATA = Tag("PixelData")
_ITEM = Tag(0xFFFE, 0xE000)
_LARGEST_LENGTH = 2**32 - 2  # FFFFFFFFH means an undefined length

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameSource:
    """Frames of an object, made when it is written.

    Attributes:
        groups: encoded Per-frame Functional Groups, one for each frame (see `encode_groups`).
        masks: makes the frames in the same order, each (rows, columns); called once.
    """

    groups: tuple[bytes, ...]
    masks: Callable[[], Iterable[Bits]]


def encode_groups(groups: Dataset) -> bytes:
    """Encode the functional groups of a frame as a sequence item, Explicit VR Little Endian."""
    content = _encode(groups)
    return _tag(_ITEM) + struct.pack("<L", len(content)) + content


def packed_bytes(dataset: Dataset, frames: int) -> int:
    """Compute the length of the pixel data of so many frames, a bit for each pixel."""
    return (frames * int(dataset.Rows) * int(dataset.Columns) + 7) // 8


def write_streamed(file: BinaryIO, dataset: Dataset, source: FrameSource) -> None:
    """Write an object with one bit for each pixel as a Part 10 file.

    Args:
        file: open for writing.
        dataset: all attributes but functional groups of the frames and pixel data; its file meta
            information says whether the object is deflated.
        source: its frames.

    Raises:
        ValueError: attributes behind the functional groups, other frames than the data set
            announces, or more than 4 GiB of pixels.
    """
    if max(dataset.keys()) >= _PER_FRAME_GROUPS:
        raise ValueError("the frames of a streamed object come after all other attributes")
    length = packed_bytes(dataset, len(source.groups))
    if int(dataset.NumberOfFrames) != len(source.groups) or length > _LARGEST_LENGTH:
        raise ValueError(f"an object can't have {len(source.groups)} frames of {length} bytes")
    file.write(bytes(128) + b"DICM")
    meta = DicomBytesIO()
    meta.is_implicit_VR, meta.is_little_endian = False, True
    write_file_meta_info(meta, FileMetaDataset(dataset.file_meta), enforce_standard=True)
    file.write(meta.getvalue())
    parts = _parts(dataset, source, length)
    if dataset.file_meta.TransferSyntaxUID != DeflatedExplicitVRLittleEndian:
        for part in parts:
            file.write(part)
        return
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    written = 0
    for part in parts:
        written += file.write(deflater.compress(part))
    written += file.write(deflater.flush())
    file.write(bytes(written % 2))


def _parts(dataset: Dataset, source: FrameSource, length: int) -> Iterator[bytes]:
    yield _encode(dataset)
    yield _header(_PER_FRAME_GROUPS, b"SQ", sum(map(len, source.groups)))
    yield from source.groups
    yield _header(_PIXEL_DATA, b"OB", length + length % 2)
    written = 0
    for part in pack_bits(source.masks()):
        written += len(part)
        yield part
    if written != length:
        raise ValueError(f"{written} bytes of pixels were made, {length} were announced")
    yield bytes(length % 2)


def pack_bits(masks: Iterable[Bits]) -> Iterator[bytes]:
    """Pack frames into bytes, the first pixel in the lowest bit; frames share bytes (PS3.5 8.2)."""
    rest = np.zeros(0, dtype=bool)
    for mask in masks:
        bits = mask.ravel() if not len(rest) else np.concatenate([rest, mask.ravel()])
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:].copy()
    if len(rest):
        yield np.packbits(rest, bitorder="little").tobytes()


def _encode(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def _header(tag: BaseTag, vr: bytes, length: int) -> bytes:
    return _tag(tag) + vr + bytes(2) + struct.pack("<L", length)


def _tag(tag: BaseTag) -> bytes:
    return struct.pack("<HH", tag.group, tag.element)
