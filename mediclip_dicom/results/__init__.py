"""What the node writes back: Segmentation and Structured Report."""

from mediclip_dicom.results.bands import Band, bands
from mediclip_dicom.results.identity import derive_uid
from mediclip_dicom.results.reading import (
    Code,
    Device,
    ImageReading,
    PreviousReport,
    Reading,
    StoredMap,
    Verdict,
)
from mediclip_dicom.results.writing import ResultObject, write_results

__all__ = [
    "Band",
    "Code",
    "Device",
    "ImageReading",
    "PreviousReport",
    "Reading",
    "ResultObject",
    "StoredMap",
    "Verdict",
    "bands",
    "derive_uid",
    "write_results",
]
