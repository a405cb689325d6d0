"""Content tree of the Structured Report: TID 1500 and its measurement groups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ai_core import Verdict
from mediclip_dicom.results.bands import bands
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.identity import (
    algorithm_parameters,
    derive_uid,
    to_ascii,
)
from mediclip_dicom.results.observer import observer
from mediclip_dicom.results.reading import ImageReading, Reading
from mediclip_dicom.results.segmentation import (
    MarkedRegion,
    SegmentationResult,
    Segmentations,
    concept,
)
from mediclip_dicom.results.source import coded

# More regions than this are counted, not listed: a report is read by people.
MAXIMUM_REGIONS = 20

PRIVATE_SCHEME = "99MEDICLIP"
SCORE = CodedConcept("ANOMALY_SCORE", PRIVATE_SCHEME, "Anomaly score, not a probability")
PEAK = CodedConcept("PEAK_SCORE", PRIVATE_SCHEME, "Highest anomaly score in the region")
_NO_UNITS = CodedConcept("1", "UCUM", "no units")
_PIXELS = CodedConcept("{pixels}", "UCUM", "pixels")
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


_Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)


def report_content(
    reading: Reading,
    segmentations: Segmentations,
    source: Dataset,
    *,
    device: Device,
    problems: Sequence[str],
) -> MeasurementReport:
    """Build the tree: observer, procedure, then the groups of study, segments and regions."""
    algorithm = AlgorithmIdentification(
        name=to_ascii(reading.task_name),
        version=str(reading.task_version),
        parameters=[f"{key}={value}" for key, value in algorithm_parameters(reading).items()],
        family=codes.DCM.ArtificialIntelligence,
        manufacturer=device.manufacturer,
    )
    regions = sorted(
        ((result, region) for result in segmentations.results for region in result.regions),
        key=lambda pair: -pair[1].region.area_pixels,
    )
    groups: list[_Group] = [
        _study_group(
            reading,
            algorithm,
            [*_comments(reading, [region for _, region in regions]), *problems],
        ),
        *(_segment_group(reading, result) for result in segmentations.results),
        *(
            _region_group(reading, result, region, number=number)
            for number, (result, region) in enumerate(regions[:MAXIMUM_REGIONS], start=1)
        ),
    ]
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(device)),
        procedure_reported=_procedure(source),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _procedure(source: Dataset) -> CodedConcept:
    by_modality = _PROCEDURES.get(str(source.get("Modality", "")), _IMAGING)
    return coded(source, "ProcedureCodeSequence") or by_modality


def _study_group(
    reading: Reading, algorithm: AlgorithmIdentification, comments: Iterable[str]
) -> MeasurementsAndQualitativeEvaluations:
    leading = reading.leading_image
    measurements = []
    if reading.score is not None:
        measurements.append(Measurement(name=SCORE, value=reading.score, unit=_NO_UNITS))
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid(reading, "tracking", "study"),
            identifier=f"{to_ascii(reading.task_name)} study score",
        ),
        algorithm_id=algorithm,
        measurements=measurements or None,
        qualitative_evaluations=[
            QualitativeEvaluation(_NORMALITY, _NORMALITY_VALUES[Verdict(reading.verdict)])
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
    for text in comments:
        group[0].ContentSequence.append(
            TextContentItem(
                name=_COMMENT, value=text, relationship_type=RelationshipTypeValues.CONTAINS
            )
        )
    return group


def _comments(reading: Reading, regions: Sequence[MarkedRegion]) -> Iterable[str]:
    read = sum(image.skipped is None for image in reading.images)
    yield (
        f"Not for diagnostic use. {read} of {len(reading.images)} frames analysed by task "
        f"{to_ascii(reading.task_name)} version {reading.task_version}, fitted on {reading.k} "
        "normal studies. The anomaly score is no probability."
    )
    if reading.score is not None:
        # Renderers such as DCMTK's show a contained number without its name.
        yield (
            f"Verdict: {Verdict(reading.verdict).value}. Anomaly score of the study "
            f"{reading.score:.4g}{_p_value(reading.p_value)}."
        )
    yield from _series_comments(reading)
    if not reading.backbone_trained:
        yield "The vision backbone is untrained: a demonstration without clinical meaning."
    if reading.operating_point is None:
        yield "The task has no operating point, so nothing is marked."
    else:
        edges = ", ".join(f"{band.threshold:.4g}" for band in bands(reading.operating_point))
        yield (
            f"Operating point {reading.operating_point:.4g}, meant to mark at most "
            f"{reading.false_positive_rate:.3g} of normal studies. Bands of the map begin above "
            f"{edges}."
        )
    if len(regions) > MAXIMUM_REGIONS:
        yield f"The {MAXIMUM_REGIONS} biggest of {len(regions)} marked regions are listed."
    if any(marked.image.header.spacing_at_detector for marked in regions):
        yield (
            "Areas are those at the detector (Imager Pixel Spacing), where the anatomy is "
            "magnified: in the patient they are smaller."
        )
    if any(marked.image.header.pixel_spacing is None for marked in regions):
        yield "Regions of images without a pixel spacing are given in pixels."
    skipped: dict[str, list[str]] = defaultdict(list)
    for image in reading.images:
        if image.skipped is not None:
            frames = image.header.number_of_frames
            frame = f" frame {image.frame_number}" if frames > 1 else ""
            skipped[image.skipped].append(image.header.sop_instance_uid + frame)
    for reason, uids in skipped.items():
        yield f"Not analysed ({len(uids)}), {to_ascii(reason)}: {', '.join(uids)}"


def _p_value(value: float | None) -> str:
    return "" if value is None else f", p-value {value:.3g} against the normal studies"


def _series_comments(reading: Reading) -> Iterable[str]:
    """Write a sentence for each series about the frames that were analysed."""
    series: dict[str, list[ImageReading]] = defaultdict(list)
    for image in reading.images:
        series[image.header.series_instance_uid].append(image)
    for number, images in enumerate(series.values(), start=1):
        header = images[0].header
        what = ", ".join(filter(None, (header.modality, to_ascii(header.series_description))))
        read = sum(image.skipped is None for image in images)
        yield (
            f"{read} of {len(images)} frames of series {number} ({what}) analysed: "
            f"{header.series_instance_uid}."
        )


def _segment_group(
    reading: Reading, result: SegmentationResult
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    peak = max(marked.region.peak for marked in result.regions)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=result.tracking_uid, identifier=result.tracking_id
        ),
        referenced_segment=ReferencedSegment(
            sop_class_uid=result.reference.SOPClassUID,
            sop_instance_uid=result.reference.SOPInstanceUID,
            segment_number=1,
            source_series=SourceSeriesForSegmentation(result.source_series_uid),
        ),
        finding_type=concept(reading.type),
        finding_category=concept(reading.category),
        measurements=[Measurement(name=PEAK, value=peak, unit=_NO_UNITS)],
    )


def _region_group(
    reading: Reading, result: SegmentationResult, marked: MarkedRegion, *, number: int
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    region, image = marked.region, marked.image
    spacing = image.header.pixel_spacing if image.plane is None else image.plane.spacing
    area, unit = float(region.area_pixels), _PIXELS
    if spacing is not None:
        area, unit = area * spacing[0] * spacing[1], codes.UCUM.SquareMillimeter
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=derive_uid(reading, "tracking", "region", str(number)),
            identifier=(
                f"{to_ascii(reading.task_name)} region {number}, centre at row {region.row}, "
                f"column {region.column}"
            ),
        ),
        referenced_segment=_segmentation_frame(result, marked),
        finding_type=concept(reading.type),
        finding_category=concept(reading.category),
        measurements=[
            Measurement(name=codes.SCT.Area, value=round(area, 3), unit=unit),
            Measurement(name=PEAK, value=round(region.peak, 6), unit=_NO_UNITS),
        ],
    )


def _segmentation_frame(
    result: SegmentationResult, marked: MarkedRegion
) -> ReferencedSegmentationFrame:
    header = marked.image.header
    reference = ReferencedSegmentationFrame(
        sop_class_uid=result.reference.SOPClassUID,
        sop_instance_uid=result.reference.SOPInstanceUID,
        frame_number=marked.segmentation_frame,
        segment_number=1,
        source_image=SourceImageForSegmentation(
            header.sop_class_uid, header.sop_instance_uid, marked.image.frame_numbers
        ),
    )
    # A frame of a BINARY Segmentation says its segment; PS3.3 10.3 forbids saying both.
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference
