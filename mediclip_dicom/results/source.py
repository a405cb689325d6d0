"""Source attributes, checked and completed so that a result may copy them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import DA, TM

from mediclip_dicom.imaging import read_data_set
from mediclip_dicom.results.source_text import hide_text

# SOP class substituted where highdicom rejects the source's own.
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

# Type 2 of the Patient and General Study modules: present in every object, if only empty.
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SEXES = frozenset({"", "M", "F", "O"})
_AGE = re.compile(r"\d{3}[DWMY]")

_ENTIRE_BODY = codes.SCT.EntireBody
# Body Part Examined by the names of the context groups of anatomy, and where it has another word
# for one of them (PS3.16 annex L).
_REGIONS = {
    **{
        name.upper(): getattr(group, name)
        for group in (codes.cid4030, codes.cid4031)
        for name in group.dir()
    },
    "CSPINE": codes.SCT.CervicalSpine,
    "TSPINE": codes.SCT.ThoracicSpine,
    "LSPINE": codes.SCT.LumbarSpine,
    "WHOLEBODY": _ENTIRE_BODY,
}


_PIXEL_DATA_GROUP = 0x7FE0


def read_source(path: Path) -> Dataset:
    """Read a source's attributes without its pixels, type 2 attributes present and well formed.

    A malformed value (a date that is none, a sex outside the standard's terms) is left empty: a
    result must be valid even if its source is not. Text is carried as it is (see `source_text`).

    Raises:
        OSError: the source is gone.
    """
    dataset = read_data_set(path, stop_when=lambda tag, *_: tag.group >= _PIXEL_DATA_GROUP)
    hide_text(dataset)
    for keyword in _TYPE_2:
        if dataset.get(keyword) is None:
            setattr(dataset, keyword, "")
    if dataset.PatientSex not in _SEXES:
        dataset.PatientSex = ""
    if not _AGE.fullmatch(str(dataset.get("PatientAge") or "")):
        dataset.pop("PatientAge", None)
    for keyword in ("PatientBirthDate", "StudyDate"):
        setattr(dataset, keyword, _date(str(dataset.get(keyword))))
    dataset.StudyTime = _time(str(dataset.StudyTime))
    spacing = dataset.get("PixelSpacing")
    if spacing is not None and not (len(spacing) == 2 and min(spacing) > 0):
        del dataset.PixelSpacing
    # An empty UID is no frame of reference.
    if "FrameOfReferenceUID" in dataset and not dataset.FrameOfReferenceUID:
        del dataset.FrameOfReferenceUID
    return dataset


def laterality(source: Dataset) -> str | None:
    """Return the side of a paired body part, of the series or of the image."""
    for keyword in ("Laterality", "ImageLaterality", "FrameLaterality"):
        if (side := str(source.get(keyword) or "").strip().upper()) in ("L", "R"):
            return side
    return None


def coded(source: Dataset, keyword: str) -> CodedConcept | None:
    """Return the first complete code of a code sequence, if there is one."""
    for item in source.get(keyword) or ():
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"):
            return CodedConcept(item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
    return None


def frame_anatomy(source: Dataset) -> Dataset:
    """Make the item of Frame Anatomy Sequence (PS3.3 C.7.6.16.2.8).

    The region is the source's coded one, or else the one that Body Part Examined names. Where the
    source says neither it is the entire body, the least that is known to hold what they show.
    """
    named = re.sub(r"[^A-Z]", "", str(source.get("BodyPartExamined") or "").upper())
    region = coded(source, "AnatomicRegionSequence")
    item = Dataset()
    item.FrameLaterality = laterality(source) or "U"
    item.AnatomicRegionSequence = [
        region or CodedConcept.from_code(_REGIONS.get(named, _ENTIRE_BODY))
    ]
    return item


def references(dataset: Dataset) -> Iterator[Dataset]:
    """Find every item, at any depth, that references a SOP instance."""
    if "ReferencedSOPInstanceUID" in dataset:
        yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from references(item)


def reference_to(dataset: Dataset) -> Dataset:
    """Copy an object's class, instance, series and study UIDs, as evidence needs them."""
    reference = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(reference, keyword, dataset[keyword].value)
    return reference


def referenced_requests(dataset: Dataset) -> list[Dataset] | None:
    """Make Referenced Request items (PS3.3 C.17.2) of the source's request, if any."""
    requests = list(dataset.get("RequestAttributesSequence") or ())
    if not requests and not dataset.AccessionNumber:
        return None
    return [_referenced_request(dataset, request) for request in requests or [Dataset()]]


def _referenced_request(dataset: Dataset, request: Dataset) -> Dataset:
    item = Dataset()
    item.StudyInstanceUID = dataset.StudyInstanceUID
    item.ReferencedStudySequence = []
    item.AccessionNumber = dataset.AccessionNumber
    item.PlacerOrderNumberImagingServiceRequest = dataset.get(
        "PlacerOrderNumberImagingServiceRequest", ""
    )
    item.FillerOrderNumberImagingServiceRequest = dataset.get(
        "FillerOrderNumberImagingServiceRequest", ""
    )
    for keyword in ("RequestedProcedureID", "RequestedProcedureDescription"):
        setattr(item, keyword, request.get(keyword) or dataset.get(keyword, ""))
    item.RequestedProcedureCodeSequence = list(
        request.get("RequestedProcedureCodeSequence")
        or dataset.get("RequestedProcedureCodeSequence")
        or ()
    )
    return item


def _date(value: str) -> str:
    """Return a date in today's form (ACR-NEMA had dots), or an empty text."""
    try:
        date = DA(value)
    except ValueError:
        return ""
    return f"{date:%Y%m%d}" if date else ""


def _time(value: str) -> str:
    try:
        return str(TM(value) or "")
    except ValueError:
        return ""
