"""Content tree of the Structured Report: TID 1500 and its measurement groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ai_core import Verdict
from mediclip_dicom.results.comments import comments
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.finding_groups import (
    NO_UNITS,
    PRIVATE_SCHEME,
    Group,
    finding_group,
    image_library,
    p_value_origin,
)
from mediclip_dicom.results.findings import Findings
from mediclip_dicom.results.identity import (
    algorithm_parameters,
    derive_uid,
    to_ascii,
)
from mediclip_dicom.results.observer import observer
from mediclip_dicom.results.reading import Reading
from mediclip_dicom.results.segmentation import Segmentations
from mediclip_dicom.results.source import coded

SCORE = CodedConcept("ANOMALY_SCORE", PRIVATE_SCHEME, "Anomaly score, not a probability")
_COMMENT = CodedConcept("121106", "DCM", "Comment")

_NORMALITY = CodedConcept("121402", "DCM", "Normality")
_NORMALITY_VALUES = {
    Verdict.ABNORMAL: CodedConcept("263654008", "SCT", "Abnormal"),
    Verdict.NORMAL: CodedConcept("17621005", "SCT", "Normal"),
    Verdict.UNDETERMINED: CodedConcept("371934000", "SCT", "Normality Undetermined"),
}

_IMAGING = CodedConcept("363679005", "SCT", "Imaging")
_PROCEDURES = {
    "CT": CodedConcept("77477000", "SCT", "Computed Tomography"),
    "MR": CodedConcept("113091000", "SCT", "Magnetic Resonance Imaging"),
    "US": CodedConcept("16310003", "SCT", "Ultrasonography"),
    "MG": CodedConcept("71651007", "SCT", "Mammography"),
    "PT": CodedConcept("82918005", "SCT", "Positron Emission Tomography"),
    "CR": CodedConcept("168537006", "SCT", "Plain X-ray"),
    "DX": CodedConcept("168537006", "SCT", "Plain X-ray"),
}


def report_content(
    reading: Reading,
    findings: Findings,
    segmentations: Segmentations,
    source: Dataset,
    *,
    device: Device,
    problems: Sequence[str],
) -> MeasurementReport:
    """Build the tree: observer, procedure, image library, then the groups of study and findings."""
    algorithm = AlgorithmIdentification(
        name=to_ascii(reading.task_name),
        version=str(reading.task_version),
        parameters=[f"{key}={value}" for key, value in algorithm_parameters(reading).items()],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=device.manufacturer,
    )
    groups: list[Group] = [
        _study_group(reading, algorithm, [*comments(reading, findings), *problems]),
        *(
            finding_group(reading, finding, segmentations.segments.get(finding.number))
            for finding in findings.reported
        ),
    ]
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(device)),
        procedure_reported=_procedure(source),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    keys = [finding.key_image for finding in findings.reported]
    if reading.leading_image is not None:
        keys.append(reading.leading_image)
    if keys:
        # TID 1500: the library comes before the measurements.
        items = report[0].ContentSequence
        items.insert(len(items) - 1, image_library(keys))
    return report


def _procedure(source: Dataset) -> CodedConcept:
    by_modality = _PROCEDURES.get(str(source.get("Modality", "")), _IMAGING)
    return coded(source, "ProcedureCodeSequence") or by_modality


def _study_group(
    reading: Reading, algorithm: AlgorithmIdentification, sentences: Iterable[str]
) -> MeasurementsAndQualitativeEvaluations:
    leading = reading.leading_image
    measurements = []
    if reading.score is not None:
        measurements.append(Measurement(name=SCORE, value=reading.score, unit=NO_UNITS))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid(reading, "tracking", "study"),
            identifier=f"{to_ascii(reading.task_name)} study score",
        ),
        algorithm_id=algorithm,
        measurements=measurements or None,
        qualitative_evaluations=[
            QualitativeEvaluation(_NORMALITY, _NORMALITY_VALUES[Verdict(reading.verdict)]),
            *p_value_origin(extrapolated=reading.extrapolated(reading.p_value)),
        ],
        source_images=None
        if leading is None
        else [
            SourceImageForMeasurementGroup(
                leading.header.sop_class_uid,
                leading.header.sop_instance_uid,
                leading.frame_numbers,
            )
        ],
    )
    for text in sentences:
        group[0].ContentSequence.append(
            TextContentItem(
                name=_COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS
            )
        )
    return group
