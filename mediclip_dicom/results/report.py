"""Structured Report of every reading: Comprehensive 3D SR after TID 1500."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    Comprehensive3DSR,
)
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from mediclip_dicom.results.content import report_content
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.finding_groups import PRIVATE_SCHEME
from mediclip_dicom.results.findings import Findings
from mediclip_dicom.results.identity import (
    SERIES_NUMBERS,
    derive_uid,
    equipment_arguments,
    series_description,
    stamp,
)
from mediclip_dicom.results.reading import Reading
from mediclip_dicom.results.segmentation import (
    Segmentations,
)
from mediclip_dicom.results.source import (
    SECONDARY_CAPTURE,
    read_source,
    referenced_requests,
    references,
)
from mediclip_dicom.results.source_text import restore_text


def build_report(
    reading: Reading,
    findings: Findings,
    segmentations: Segmentations,
    *,
    device: Device,
    problems: Sequence[str] = (),
) -> Dataset:
    """Build the report: verdict on the study, findings, images left out.

    Args:
        reading: the reading to be reported.
        findings: those of the reading.
        segmentations: as saved.
        device: this node.
        problems: sentences on objects that could not be made; no patient data.

    Raises:
        OSError: the first source is gone.
    """
    source = read_source(reading.images[0].path)
    # highdicom 0.28 copies patient and study by the source's class, and fails on a class that it
    # does not know (retired, private, newer); the reference is corrected below.
    sop_class_uid = source.SOPClassUID
    source.SOPClassUID = SECONDARY_CAPTURE
    report = Comprehensive3DSR(
        evidence=_evidence(reading, segmentations, source),
        content=report_content(
            reading,
            findings,
            segmentations,
            source,
            device=device,
            problems=(*segmentations.problems, *problems),
        ),
        series_instance_uid=derive_uid(reading, "SR series"),
        series_number=SERIES_NUMBERS["SR"],
        sop_instance_uid=derive_uid(reading, "SR"),
        instance_number=1,
        series_description=series_description(reading, label="report"),
        is_complete=True,
        is_final=False,
        is_verified=False,
        requested_procedures=referenced_requests(source),
        previous_versions=_predecessors(reading),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                designator=PRIVATE_SCHEME,
                name="mediclip-dicom private codes",
                responsible_organization=device.manufacturer,
            )
        ],
        **equipment_arguments(device),
    )
    for item in references(report):
        if item.ReferencedSOPInstanceUID == source.SOPInstanceUID:
            item.ReferencedSOPClassUID = sop_class_uid
    stamp(report, reading.finished_at)
    restore_text(source, report)
    return report


def _evidence(reading: Reading, segmentations: Segmentations, source: Dataset) -> list[Dataset]:
    """List every instance that was read, and every Segmentation, each once."""
    evidence = {str(source.SOPInstanceUID): source}
    for image in reading.images:
        header = image.header
        evidence.setdefault(
            header.sop_instance_uid,
            _reference(
                sop_class_uid=header.sop_class_uid,
                sop_instance_uid=header.sop_instance_uid,
                series_uid=header.series_instance_uid,
                study_uid=header.study_instance_uid,
            ),
        )
    for reference in segmentations.references:
        evidence[str(reference.SOPInstanceUID)] = reference
    return list(evidence.values())


def _predecessors(reading: Reading) -> list[Dataset] | None:
    if reading.predecessor is None:
        return None
    return [
        _reference(
            sop_class_uid=reading.predecessor.sop_class_uid,
            sop_instance_uid=reading.predecessor.sop_instance_uid,
            series_uid=reading.predecessor.series_instance_uid,
            study_uid=reading.study_instance_uid,
        )
    ]


def _reference(
    *, sop_class_uid: str, sop_instance_uid: str, series_uid: str, study_uid: str
) -> Dataset:
    reference = Dataset()
    reference.SOPClassUID = sop_class_uid
    reference.SOPInstanceUID = sop_instance_uid
    reference.SeriesInstanceUID = series_uid
    reference.StudyInstanceUID = study_uid
    return reference
