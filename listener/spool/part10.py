"""DICOM file format (PS3.10 7.1): File Meta Information before the bytes as received."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import split_dataset

if TYPE_CHECKING:
    from pathlib import Path

IMPLEMENTATION_CLASS_UID = "2.25.130049763359123733390253158732785454843"
"""Our Implementation Class UID (0002,0012), derived from a UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION_NAME = "MEDICLIP_DICOM"
"""Our Implementation Version Name (0002,0013), at most 16 characters."""

_PREAMBLE = bytes(128) + b"DICM"
_SHORT_ELEMENT = struct.Struct("<HH2sH")
_GROUP_LENGTH = struct.Struct("<HH2sHL")
# (0002,0001) OB, whose length takes four bytes.
_FILE_META_VERSION = struct.pack("<HH2sHL2s", 0x0002, 0x0001, b"OB", 0, 2, b"\0\1")


@dataclass(frozen=True, slots=True)
class TransferInfo:
    """Transfer of a data set over the network, for its File Meta Information.

    Attributes:
        transfer_syntax_uid: as negotiated.
        sop_class_uid: as in the request.
        sop_instance_uid: as in the request.
        calling_ae_title: of the sender, at most 16 characters.
        receiving_ae_title: our own, at most 16 characters.

    Example:
        >>> TransferInfo(
        ...     transfer_syntax_uid="1.2.840.10008.1.2.1",
        ...     sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        ...     sop_instance_uid="1.2.3.1",
        ...     calling_ae_title="CT1",
        ...     receiving_ae_title="NODE",
        ... ).calling_ae_title
        'CT1'
    """

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    receiving_ae_title: str


def file_header(transfer: TransferInfo) -> bytes:
    """Encode the preamble and the File Meta Information of a received data set."""
    elements = b"".join(
        (
            _FILE_META_VERSION,
            _element(0x0002, b"UI", transfer.sop_class_uid),
            _element(0x0003, b"UI", transfer.sop_instance_uid),
            _element(0x0010, b"UI", transfer.transfer_syntax_uid),
            _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
            _element(0x0016, b"AE", transfer.calling_ae_title),
            _element(0x0017, b"AE", transfer.calling_ae_title),
            _element(0x0018, b"AE", transfer.receiving_ae_title),
        )
    )
    return _PREAMBLE + _GROUP_LENGTH.pack(0x0002, 0x0000, b"UL", 4, len(elements)) + elements


def _element(element: int, vr: bytes, text: str) -> bytes:
    """Encode an element of group 2 in explicit VR little endian (PS3.5 7.1.2)."""
    value = text.encode("ascii", errors="replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _SHORT_ELEMENT.pack(0x0002, element, vr, len(value)) + value


@dataclass(frozen=True, slots=True)
class StoredHeader:
    """Header of a Part 10 file: transfer syntax, SOP class, and size of the data set in bytes."""

    transfer_syntax_uid: str
    sop_class_uid: str
    data_set_size: int


def read_header(path: Path) -> StoredHeader | None:
    """Read the header of a file; None if its File Meta Information is not complete."""
    try:
        meta, offset = split_dataset(path)
        syntax, sop_class = str(meta.TransferSyntaxUID), str(meta.MediaStorageSOPClassUID)
    except (InvalidDicomError, AttributeError, EOFError):
        return None
    return StoredHeader(syntax, sop_class, path.stat().st_size - offset)
