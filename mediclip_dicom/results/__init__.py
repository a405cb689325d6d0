"""Results that go back to the PACS: Segmentation, Structured Report, maps and fused pictures."""

from mediclip_dicom.results.bands import Band, bands
from mediclip_dicom.results.device import Device, node_device
from mediclip_dicom.results.flagged import decoded, fused, patient_orientation
from mediclip_dicom.results.identity import derive_uid
from mediclip_dicom.results.reading import (
    Code,
    ImageReading,
    PreviousReport,
    Reading,
    StoredMap,
    Verdict,
)
from mediclip_dicom.results.source import read_source
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
    "decoded",
    "derive_uid",
    "fused",
    "node_device",
    "patient_orientation",
    "read_source",
    "write_results",
]
