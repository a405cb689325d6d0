"""SOP classes and transfer syntaxes that results are sent in, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from mediclip_dicom.results.other_report import OTHER_REPORT_KINDS
from mediclip_dicom.settings import ResultKind

RESULT_SOP_CLASSES: Mapping[ResultKind, tuple[str, ...]] = MappingProxyType(
    {
        "SR": (str(Comprehensive3DSRStorage), *OTHER_REPORT_KINDS),
        "SEG": (str(SegmentationStorage),),
        "FRACTIONAL": (str(SegmentationStorage),),
        "PM": (str(ParametricMapStorage),),
        "SC": (str(SecondaryCaptureImageStorage),),
        "KO": (str(KeyObjectSelectionDocumentStorage),),
    }
)
"""SOP classes of each kind; a destination needs one of them, and the first is preferred."""

RESULT_TRANSFER_SYNTAX = str(ExplicitVRLittleEndian)
"""Transfer syntax that every result can be sent in: deflated ones are inflated for a peer."""
