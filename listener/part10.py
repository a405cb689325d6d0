"""The DICOM file format (PS3.10 7.1) around a data set that stays as it was received."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

if TYPE_CHECKING:
    from pathlib import Path

IMPLEMENTATION_CLASS_UID = "2.25.130049763359123733390253158732785454843"
"""Our own (0002,0012), derived from a UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION_NAME = "MEDICLIP_DICOM"
"""Our own (0002,0013), at most 16 characters."""

_PREAMBLE = bytes(128) + b"DICM"
_GROUP_LENGTH_END = len(_PREAMBLE) + 12


@dataclass(frozen=True, slots=True)
class Reception:
    """What the network said about a data set: from whom, to whom, and as what.

    AE titles have at most 16 characters; UIDs are as negotiated and requested.
    """

    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    calling_ae_title: str
    receiving_ae_title: str


def file_header(reception: Reception) -> bytes:
    """Return the preamble and the encoded File Meta Information for a received data set."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(reception.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(reception.sop_instance_uid)
    meta.TransferSyntaxUID = UID(reception.transfer_syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    meta.SourceApplicationEntityTitle = reception.calling_ae_title
    meta.SendingApplicationEntityTitle = reception.calling_ae_title
    meta.ReceivingApplicationEntityTitle = reception.receiving_ae_title
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta)
    return _PREAMBLE + bytes(buffer.getvalue())


def data_set_size(path: Path) -> int | None:
    """Return how many bytes of data set a Part 10 file holds, or None if it is not such a file.

    Only the group length (0002,0000) is read.
    """
    with path.open("rb") as file:
        head = file.read(_GROUP_LENGTH_END)
        size = file.seek(0, 2)
    if len(head) < _GROUP_LENGTH_END or head[128:136] != b"DICM\x02\x00\x00\x00":
        return None
    return size - _GROUP_LENGTH_END - int.from_bytes(head[-4:], "little")
