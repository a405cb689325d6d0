"""Inflated copy of a deflated file, for a peer that can't inflate.

Deflated Explicit VR Little Endian compresses the bytes of Explicit VR Little Endian (PS3.5 A.5), so
no data set is decoded.
"""

from __future__ import annotations

import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 2**20


@contextmanager
def inflated(path: Path) -> Iterator[Path]:
    """Make a temporary copy of a Part 10 file in Explicit VR Little Endian.

    Args:
        path: a Part 10 file in Deflated Explicit VR Little Endian.

    Raises:
        zlib.error: its data set is not deflated.

    Example:
        >>> from pydicom import dcmread
        >>> from pydicom.data import get_testdata_file
        >>> with inflated(Path(get_testdata_file("image_dfl.dcm", download=False))) as path:
        ...     dcmread(path).file_meta.TransferSyntaxUID.name
        'Explicit VR Little Endian'
    """
    read, offset = split_dataset(path)
    meta = FileMetaDataset()
    meta.update(read)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = DicomBytesIO()
    write_file_meta_info(header, meta)
    with tempfile.TemporaryDirectory(prefix="inflated-") as folder:
        copy = Path(folder) / path.name
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        with path.open("rb") as source, copy.open("wb") as target:
            target.write(bytes(128) + b"DICM" + header.getvalue())
            source.seek(offset)
            while piece := source.read(_PIECE):
                target.write(inflater.decompress(piece))
            target.write(inflater.flush())
        yield copy
