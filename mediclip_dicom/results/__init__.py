"""Results that go back to the PACS: Segmentation, Structured Report, maps and fused pictures."""

from ai_core import Verdict
from mediclip_dicom.results.bands import Band, bands
from mediclip_dicom.results.comparison import NormalPatch, PatchPlace
from mediclip_dicom.results.device import Device, node_device
from mediclip_dicom.results.findings import Finding, Findings, find
from mediclip_dicom.results.flagged import draw_fused
from mediclip_dicom.results.identity import derive_uid
from mediclip_dicom.results.maps import source_map
from mediclip_dicom.results.other_report import (
    COMPREHENSIVE_3D_SR,
    OTHER_REPORT_KINDS,
    other_report,
    other_report_uids,
)
from mediclip_dicom.results.patients import OTHER_PATIENT, describe_changes, describe_patients
from mediclip_dicom.results.reading import (
    LEFT_OUT,
    Code,
    ImageReading,
    PreviousReport,
    Reading,
    StoredMap,
    UnreadContent,
)
from mediclip_dicom.results.sop_classes import RESULT_SOP_CLASSES, RESULT_TRANSFER_SYNTAX
from mediclip_dicom.results.wording import describe_size, describe_slices, sentence
from mediclip_dicom.results.writing import ResultObject, write_results

__all__ = [
    "COMPREHENSIVE_3D_SR",
    "LEFT_OUT",
    "OTHER_PATIENT",
    "OTHER_REPORT_KINDS",
    "RESULT_SOP_CLASSES",
    "RESULT_TRANSFER_SYNTAX",
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
    "UnreadContent",
    "Verdict",
    "bands",
    "derive_uid",
    "describe_changes",
    "describe_patients",
    "describe_size",
    "describe_slices",
    "draw_fused",
    "find",
    "node_device",
    "other_report",
    "other_report_uids",
    "sentence",
    "source_map",
    "write_results",
]
