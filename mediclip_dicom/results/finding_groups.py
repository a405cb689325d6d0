"""Measurement groups of findings in the Structured Report, and the library of their key images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from highdicom.sr import (
    CodedConcept,
    ContainerContentItem,
    ContentSequence,
    ImageContentItem,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForMeasurement,
    SourceImageForMeasurementGroup,
    SourceImageForSegmentation,
    SourceSeriesForSegmentation,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.sr.codedict import codes

from mediclip_dicom.results.findings import Finding
from mediclip_dicom.results.reading import ImageReading, Reading
from mediclip_dicom.results.segmentation import (
    FindingSegment,
    concept,
    tracking_id,
    tracking_uid,
)

PRIVATE_SCHEME = "99MEDICLIP"
PEAK = CodedConcept("PEAK_SCORE", PRIVATE_SCHEME, "Highest anomaly score in the region")
P_VALUE = CodedConcept("P_VALUE", PRIVATE_SCHEME, "p-value against the normal studies")
P_VALUE_ORIGIN = CodedConcept("P_VALUE_ORIGIN", PRIVATE_SCHEME, "Origin of the p-value")
EXTRAPOLATED = CodedConcept(
    "EXTRAPOLATED", PRIVATE_SCHEME, "Extrapolated below 1 / (number of normal studies + 1)"
)
NO_UNITS = CodedConcept("1", "UCUM", "no units")
_PIXELS = CodedConcept("{pixels}", "UCUM", "pixels")
_SOURCE = CodedConcept("260753009", "SCT", "Source")

Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)


def finding_group(reading: Reading, finding: Finding, segment: FindingSegment | None) -> Group:
    """Make the group of a finding: TID 1411 in a series, TID 1410 on a single image.

    A finding whose Segmentation could not be made has no region to refer to, and gets a group of
    measurements on its key image (TID 1501).
    """
    tracking = TrackingIdentifier(
        uid=tracking_uid(reading, finding.number), identifier=tracking_id(reading, finding.number)
    )
    finding_type, category = concept(reading.type), concept(reading.category)
    measurements = list(_measurements(finding))
    evaluations = p_value_origin(extrapolated=finding.extrapolated) or None
    key = finding.key_image.header
    if segment is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=finding_type,
            finding_category=category,
            measurements=measurements,
            qualitative_evaluations=evaluations,
            source_images=[
                SourceImageForMeasurementGroup(
                    key.sop_class_uid, key.sop_instance_uid, finding.key_image.frame_numbers
                )
            ],
        )
    if finding.volumetric:
        return VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            referenced_segment=ReferencedSegment(
                sop_class_uid=segment.reference.SOPClassUID,
                sop_instance_uid=segment.reference.SOPInstanceUID,
                segment_number=segment.segment_number,
                source_series=SourceSeriesForSegmentation(key.series_instance_uid),
            ),
            finding_type=finding_type,
            finding_category=category,
            measurements=measurements,
            qualitative_evaluations=evaluations,
        )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=_segmentation_frame(finding, segment),
        finding_type=finding_type,
        finding_category=category,
        measurements=measurements,
    )


def p_value_origin(*, extrapolated: bool) -> list[QualitativeEvaluation]:
    """Make the item that marks an extrapolated p-value; none for a p-value that was counted."""
    return [QualitativeEvaluation(P_VALUE_ORIGIN, EXTRAPOLATED)] if extrapolated else []


def image_library(images: Iterable[ImageReading]) -> ContainerContentItem:
    """Make the Image Library (TID 1600) of key images, each frame once."""
    library = ContainerContentItem(
        name=codes.DCM.ImageLibrary, relationship_type=RelationshipTypeValues.CONTAINS
    )
    group = ContainerContentItem(
        name=codes.DCM.ImageLibraryGroup, relationship_type=RelationshipTypeValues.CONTAINS
    )
    items = [
        ImageContentItem(
            name=_SOURCE,
            referenced_sop_class_uid=image.header.sop_class_uid,
            referenced_sop_instance_uid=image.header.sop_instance_uid,
            referenced_frame_numbers=image.frame_numbers,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        for image in {image.frame_key: image for image in images}.values()
    ]
    group.ContentSequence = ContentSequence(items)
    library.ContentSequence = ContentSequence([group])
    return library


def _measurements(finding: Finding) -> Iterator[Measurement]:
    """Make the measurements; diameters and area refer to the key image that they are of."""
    size = finding.size
    header = finding.key_image.header
    key = [
        SourceImageForMeasurement(
            header.sop_class_uid, header.sop_instance_uid, finding.key_image.frame_numbers
        )
    ]
    if size.volume_mm3 is not None:
        yield Measurement(
            name=codes.SCT.Volume,
            value=round(size.volume_mm3, 3),
            unit=codes.UCUM.CubicMillimeter,
        )
    elif size.area_mm2 is not None:
        yield Measurement(
            name=codes.SCT.Area,
            value=round(size.area_mm2, 3),
            unit=codes.UCUM.SquareMillimeter,
            referenced_images=key,
        )
    else:
        yield Measurement(
            name=codes.SCT.Area, value=float(size.pixels), unit=_PIXELS, referenced_images=key
        )
    for name, value in (
        (codes.SCT.LongAxis, size.longest_mm),
        (codes.SCT.ShortAxis, size.perpendicular_mm),
    ):
        if value is not None:
            yield Measurement(
                name=name,
                value=round(value, 2),
                unit=codes.UCUM.Millimeter,
                referenced_images=key,
            )
    yield Measurement(name=PEAK, value=round(finding.peak, 6), unit=NO_UNITS)
    if finding.p_value is not None:
        yield Measurement(name=P_VALUE, value=round(finding.p_value, 6), unit=NO_UNITS)


def _segmentation_frame(finding: Finding, segment: FindingSegment) -> ReferencedSegmentationFrame:
    header = finding.key_image.header
    reference = ReferencedSegmentationFrame(
        sop_class_uid=segment.reference.SOPClassUID,
        sop_instance_uid=segment.reference.SOPInstanceUID,
        frame_number=segment.key_frame,
        segment_number=segment.segment_number,
        source_image=SourceImageForSegmentation(
            header.sop_class_uid, header.sop_instance_uid, finding.key_image.frame_numbers
        ),
    )
    # A frame of a BINARY Segmentation says its segment; PS3.3 10.3 forbids saying both.
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference
