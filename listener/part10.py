"""The DICOM file format (PS3.10 7.1) around a data set that stays as it was received."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

if TYPE_CHECKING:
    from pathlib import Path

IMPLEMENTATION_CLASS_UID = "2.25.130049763359123733390253158732785454843"
"""Our own (0002,0012), derived from a UUID (PS3.5 B.2)."""

IMPLEMENTATION_VERSION_NAME = "MEDICLIP_DICOM"
"""Our own (0002,0013), at most 16 characters."""

_PREAMBLE = bytes(128) + b"DICM"


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


@dataclass(frozen=True, slots=True)
class StoredHeader:
    """What the header of a Part 10 file says: transfer syntax, SOP class, bytes of data set."""

    transfer_syntax_uid: str
    sop_class_uid: str
    data_set_size: int


def read_header(path: Path) -> StoredHeader | None:
    """Read the File Meta Information of a file, or return None if that is not whole."""
    try:
        meta, offset = split_dataset(path)
        syntax, sop_class = str(meta.TransferSyntaxUID), str(meta.MediaStorageSOPClassUID)
    except (InvalidDicomError, AttributeError, EOFError):
        return None
    return StoredHeader(syntax, sop_class, path.stat().st_size - offset)
