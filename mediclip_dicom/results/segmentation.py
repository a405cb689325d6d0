"""BINARY Segmentations of findings and anomaly map, on the grid of the source images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from mediclip_dicom.results.bands import bands
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.findings import Findings, Stack
from mediclip_dicom.results.identity import (
    algorithm_identification,
    derive_uid,
    to_ascii,
)
from mediclip_dicom.results.multiframe import GEOMETRY_ERRORS, ResultSeries, Save, refusal
from mediclip_dicom.results.planes import SourcePlanes
from mediclip_dicom.results.reading import Code, ImageReading, Reading
from mediclip_dicom.results.segments import OTHER_COLOUR, Segments, segments_of
from mediclip_dicom.results.source import reference_to
from mediclip_dicom.results.streaming import FrameSource, encode_groups, packed_bytes
from mediclip_dicom.results.wording import describe_size, describe_slices

# highdicom makes the attributes of an object from one frame of so many rows and columns.
_SMALL = 8


@dataclass(frozen=True, slots=True)
class FindingSegment:
    """Segment of a finding, as the report references it.

    Attributes:
        reference: class, instance, series and study UIDs of the Segmentation.
        segment_number: 1-based number of the segment in it.
        key_frame: 1-based number of the frame that shows the finding on its key image.
        tracking_id: Tracking ID, the same in segment and report.
        tracking_uid: Tracking UID, likewise.
    """

    reference: Dataset
    segment_number: int
    key_frame: int
    tracking_id: str
    tracking_uid: str


@dataclass(frozen=True, slots=True)
class Segmentations:
    """Segmentations of a reading.

    Attributes:
        references: class, instance, series and study UIDs of each.
        segments: segment of each finding, by the finding's number; one whose series has a geometry
            that can't be described has none.
        problems: sentences on images that could not be segmented; no patient data.
    """

    references: tuple[Dataset, ...]
    segments: dict[int, FindingSegment]
    problems: tuple[str, ...]


def save_segmentations(
    reading: Reading, findings: Findings, *, device: Device, save: Save
) -> Segmentations:
    """Make one Segmentation of each stack with a marked region, whatever its number of slices.

    Its segments are the findings in the stack, the two higher bands of the map, and the regions
    that are counted only. Images that share no grid, orientation or frame of reference, or that
    repeat positions (echoes), can't share an object; an image without a frame of reference has its
    own. All from one source series form one new series. Frames are encoded one at a time.
    """
    series = ResultSeries(reading, device, "SEG", "anomaly map")
    references: list[Dataset] = []
    segments: dict[int, FindingSegment] = {}
    problems: list[str] = []
    for number in range(len(findings.regions)):
        layout = segments_of(findings, number)
        stack = layout.regions.stack
        try:
            dataset, frames = _build(series, layout)
        except GEOMETRY_ERRORS as error:
            marked = len(layout.regions.marked_slices())
            problems.append(refusal("segmentation", stack.images[0], error, frames=marked))
            continue
        save("SEG", dataset, frames)
        reference = reference_to(dataset)
        references.append(reference)
        segments |= dict(_finding_segments(reading, layout, reference))
    return Segmentations(tuple(references), segments, tuple(problems))


def tracking_uid(reading: Reading, number: int) -> str:
    """Derive the Tracking UID of a finding, the same in Segmentation and report."""
    return derive_uid(reading, "tracking", "finding", str(number))


def tracking_id(reading: Reading, number: int) -> str:
    """Write the Tracking ID of a finding."""
    return f"{to_ascii(reading.task_name)} version {reading.task_version} finding {number}"


def concept(code: Code) -> CodedConcept:
    """Convert a code for highdicom."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _build(series: ResultSeries, layout: Segments) -> tuple[Dataset, FrameSource]:
    """Make a Segmentation without its frames, and the frames."""
    stack, key = layout.regions.stack, layout.regions.stack.key
    marked = [stack.images[index] for index in layout.regions.marked_slices()]
    planes = SourcePlanes(marked[:1], stack=stack.images)
    header = marked[0].header
    # One small frame with a pixel of each segment makes all attributes that frames share.
    planes.datasets[0].Rows = planes.datasets[0].Columns = _SMALL
    dataset: Dataset = Segmentation(
        source_images=planes.datasets,
        pixel_array=np.ones((1, _SMALL, _SMALL, layout.count), dtype=np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=list(_descriptions(series, layout)),
        content_description="Findings and anomaly map, not for diagnostic use",
        content_label="FINDINGS",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **series.arguments(marked[0], key=key),
    )
    del dataset.PixelData
    dataset.Rows, dataset.Columns = header.rows, header.columns
    dataset.NumberOfFrames = len(layout.frames)
    dataset.SegmentsOverlap = "YES" if layout.count > 1 else "NO"
    length = packed_bytes(dataset, len(layout.frames))
    series.finish(dataset, planes, marked[0], key=key, pixel_bytes=length)
    template = _first_frame_groups(dataset)
    groups = tuple(_frame_groups(template, layout))
    del dataset.PerFrameFunctionalGroupsSequence
    _reference_sources(dataset, marked)
    return dataset, FrameSource(groups, layout.masks)


def _first_frame_groups(dataset: Dataset) -> Dataset:
    """Return the functional groups of the first frame, with the identification of its segment.

    highdicom writes that of a lone segment into the groups that all frames share (PS3.3 C.7.6.16).
    """
    template: Dataset = dataset.PerFrameFunctionalGroupsSequence[0]
    shared: Dataset = dataset.SharedFunctionalGroupsSequence[0]
    identification = shared.pop("SegmentIdentificationSequence", None)
    if identification is not None:
        template[identification.tag] = identification
    return template


def _frame_groups(template: Dataset, layout: Segments) -> Iterator[bytes]:
    """Encode the functional groups of each frame, by changing those of the first."""
    source = template.DerivationImageSequence[0].SourceImageSequence[0]
    ranks = {index: rank for rank, index in enumerate(layout.regions.marked_slices(), start=1)}
    for index, segment in layout.frames:
        image = layout.regions.stack.images[index]
        _reference_image(source, image)
        template.SegmentIdentificationSequence[0].ReferencedSegmentNumber = segment
        dimensions: int | list[int] = segment
        if image.plane is not None:
            dimensions = [segment, ranks[index]]
            template.PlanePositionSequence[0].ImagePositionPatient = [
                DSfloat(x, auto_format=True) for x in image.plane.position
            ]
        template.FrameContentSequence[0].DimensionIndexValues = dimensions
        yield encode_groups(template)


def _reference_image(item: Dataset, image: ImageReading) -> None:
    item.ReferencedSOPClassUID = image.header.sop_class_uid
    item.ReferencedSOPInstanceUID = image.header.sop_instance_uid
    if image.frame_numbers is not None:
        item.ReferencedFrameNumber = image.frame_number


def _reference_sources(dataset: Dataset, marked: list[ImageReading]) -> None:
    """List the sources of all frames: each frame once, and each instance once in its series."""
    sources: list[Dataset] = []
    instances: dict[str, Dataset] = {}
    for image in marked:
        source, instance = Dataset(), Dataset()
        _reference_image(source, image)
        sources.append(source)
        instance.ReferencedSOPClassUID = image.header.sop_class_uid
        instance.ReferencedSOPInstanceUID = image.header.sop_instance_uid
        instances.setdefault(image.header.sop_instance_uid, instance)
    dataset.SourceImageSequence = sources
    (series,) = dataset.ReferencedSeriesSequence
    series.ReferencedInstanceSequence = list(instances.values())


def _finding_segments(
    reading: Reading, layout: Segments, reference: Dataset
) -> Iterator[tuple[int, FindingSegment]]:
    frames = {frame: number for number, frame in enumerate(layout.frames, start=1)}
    places = _places(layout.regions.stack)
    for segment, finding in enumerate(layout.findings, start=1):
        key = places[finding.key_image.frame_key]
        yield (
            finding.number,
            FindingSegment(
                reference=reference,
                segment_number=segment,
                key_frame=frames[key, segment],
                tracking_id=tracking_id(reading, finding.number),
                tracking_uid=tracking_uid(reading, finding.number),
            ),
        )


def _places(stack: Stack) -> dict[tuple[str, int], int]:
    return {image.frame_key: index for index, image in enumerate(stack.images)}


def _descriptions(series: ResultSeries, layout: Segments) -> Iterator[SegmentDescription]:
    """Describe the segments in their order."""
    reading, key = series.reading, layout.regions.stack.key
    levels = layout.regions.levels
    yellow = bands(levels.seed)[0].colour
    number = 0
    for finding in layout.findings:
        number += 1
        text = (
            f"Finding {finding.number}: {describe_size(finding)}, {describe_slices(finding)}. "
            f"Connected pixels whose anomaly score is above {finding.floor:.4g}, some of them "
            f"above the operating point {levels.seed:.4g}."
        )
        yield _describe(
            series,
            number,
            label=f"Finding {finding.number}",
            text=text,
            colour=yellow,
            tracking=(
                tracking_id(reading, finding.number),
                tracking_uid(reading, finding.number),
            ),
        )
    name = f"{to_ascii(reading.task_name)} version {reading.task_version}"
    for band in layout.bands:
        number += 1
        yield _describe(
            series,
            number,
            label=f"Anomaly map, {band.name}",
            text=f"Pixels whose anomaly score is above {band.threshold:.4g} on a scale of 0 to 1.",
            colour=band.colour,
            tracking=(
                f"{name} band {band.number}",
                derive_uid(reading, "tracking", key, f"band {band.number}"),
            ),
        )
    if layout.other:
        yield _describe(
            series,
            number + 1,
            label="Further marked regions",
            text="Regions above the operating point that are counted, not reported one by one.",
            colour=OTHER_COLOUR,
            tracking=(f"{name} further", derive_uid(reading, "tracking", key, "further")),
        )


def _describe(
    series: ResultSeries,
    number: int,
    *,
    label: str,
    text: str,
    colour: tuple[int, int, int],
    tracking: tuple[str, str],
) -> SegmentDescription:
    reading = series.reading
    description = SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=concept(reading.category),
        segmented_property_type=concept(reading.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_identification(reading, series.device),
        tracking_id=tracking[0],
        tracking_uid=tracking[1],
        display_color=CIELabColor.from_rgb(*colour),
    )
    description.SegmentDescription = f"{text} The score is no probability. Not for diagnostic use."
    return description
