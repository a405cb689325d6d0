"""Files: DICOM Part 10, data sets without preamble, archives, and anything else in a folder."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

if TYPE_CHECKING:
    from typing import BinaryIO

    from pydicom.tag import BaseTag

    StopWhen = Callable[[BaseTag, str | None, int], bool]

# Groups that a data set can begin with: command set, file meta information, identification.
_FIRST_GROUPS = (0x0000, 0x0002, 0x0008)
_LONGEST_FIRST_VALUE = 1024

_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "rar",
}
_TAR_MAGIC = (257, b"ustar")
_ISO_MAGIC = (0x8001, b"CD001")


class FileKind(Enum):
    """Kind of a file, by its content and never by its name."""

    PART_10 = "DICOM Part 10 file"
    DATA_SET = "DICOM data set without preamble"
    ARCHIVE = "archive"
    EMPTY = "empty file"
    OTHER = "anything else"

    @property
    def is_dicom(self) -> bool:
        """Whether `read_data_set` reads it."""
        return self in (FileKind.PART_10, FileKind.DATA_SET)


def file_kind(path: Path) -> FileKind:
    """Recognise a file by its first bytes.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
        if not head:
            return FileKind.EMPTY
        if head[128:132] == b"DICM":
            return FileKind.PART_10
        if archive_format(path) is not None:
            return FileKind.ARCHIVE
        if _begins_like_a_data_set(head) and _is_data_set(file):
            return FileKind.DATA_SET
    return FileKind.OTHER


def archive_format(path: Path) -> str | None:
    """Name the format of an archive or disk image; `None` for anything else.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
        for magic, name in _ARCHIVES.items():
            if head.startswith(magic):
                return name
        offset, magic = _TAR_MAGIC
        if head[offset : offset + len(magic)] == magic:
            return "tar"
        offset, magic = _ISO_MAGIC
        file.seek(offset)
        return "ISO 9660" if file.read(len(magic)) == magic else None


def read_data_set(path: Path, *, stop_when: StopWhen | None = None) -> FileDataset:
    """Read a Part 10 file, or a data set without preamble.

    A data set without file meta information gets the transfer syntax that it is evidently in;
    whether its pixel data is compressed, and how, is written nowhere in it.

    Args:
        path: the file.
        stop_when: ends the reading before an element, as in pydicom's `read_partial`.

    Raises:
        pydicom.errors.InvalidDicomError: neither of the two.
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        bare = head[128:132] != b"DICM" and _begins_like_a_data_set(head)
        data_set = (
            dcmread(file, force=bare)
            if stop_when is None
            else read_partial(file, stop_when=stop_when, force=bare)
        )
    if "TransferSyntaxUID" not in data_set.file_meta:
        implicit, little = data_set.original_encoding
        if not isinstance(data_set.file_meta, FileMetaDataset):
            data_set.file_meta = FileMetaDataset()
        data_set.file_meta.TransferSyntaxUID = (
            ImplicitVRLittleEndian
            if implicit
            else ExplicitVRLittleEndian
            if little
            else ExplicitVRBigEndian
        )
    return data_set


def _begins_like_a_data_set(head: bytes) -> bool:
    """Whether the first bytes are the tag, and VR or length, of an element of a first group."""
    if len(head) < 8:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    little = int.from_bytes(head[:2], "little") in _FIRST_GROUPS
    big = int.from_bytes(head[:2], "big") in _FIRST_GROUPS
    if explicit:
        return little or big
    return little and int.from_bytes(head[4:8], "little") <= _LONGEST_FIRST_VALUE


def _is_data_set(file: BinaryIO) -> bool:
    file.seek(0)
    try:
        head = read_partial(
            file, stop_when=lambda tag, _vr, _length: tag.group > _FIRST_GROUPS[-1], force=True
        )
    except Exception:  # noqa: BLE001 (pydicom fails in many ways at what is no DICOM)
        return False
    known = [element for element in head if element.tag.group == 0x0008 and element.keyword]
    return len(known) >= 3
