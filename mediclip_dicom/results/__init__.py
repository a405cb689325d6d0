"""Results that go back to the PACS: Segmentation, Structured Report, maps and fused pictures."""

from ai_core import Verdict
from mediclip_dicom.results.bands import Band, bands
from mediclip_dicom.results.comparison import NormalPatch, PatchPlace
from mediclip_dicom.results.device import Device, node_device
from mediclip_dicom.results.findings import Finding, Findings, find
from mediclip_dicom.results.flagged import draw_fused
from mediclip_dicom.results.identity import derive_uid
from mediclip_dicom.results.maps import source_map
from mediclip_dicom.results.reading import (
    LEFT_OUT,
    Code,
    ImageReading,
    PreviousReport,
    Reading,
    StoredMap,
)
from mediclip_dicom.results.wording import describe_size, describe_slices, sentence
from mediclip_dicom.results.writing import ResultObject, write_results

__all__ = [
    "LEFT_OUT",
    "Band",
    "Code",
    "Device",
    "Finding",
    "Findings",
    "ImageReading",
    "NormalPatch",
    "PatchPlace",
    "PreviousReport",
    "Reading",
    "ResultObject",
    "StoredMap",
    "Verdict",
    "bands",
    "derive_uid",
    "describe_size",
    "describe_slices",
    "draw_fused",
    "find",
    "node_device",
    "sentence",
    "source_map",
    "write_results",
]
