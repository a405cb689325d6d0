"""BINARY Segmentations of an anomaly map, on the grid of the source images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
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

from ai_core import Verdict
from mediclip_dicom.results.bands import Band, Region, band_masks, bands, find_regions
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.identity import (
    algorithm_identification,
    derive_uid,
    to_ascii,
)
from mediclip_dicom.results.multiframe import GEOMETRY_ERRORS, ResultSeries, Save, part_key, refusal
from mediclip_dicom.results.planes import SourcePlanes, group_by_stack
from mediclip_dicom.results.reading import (
    Code,
    ImageReading,
    Reading,
)
from mediclip_dicom.results.source import reference_to

# The masks of one Segmentation, a byte for each pixel and band; highdicom needs three times as much
# in addition. A stack with more marked frames gets several Segmentations.
LARGEST_MASKS_BYTES = 48 * 2**20


@dataclass(frozen=True, slots=True)
class Marked:
    """Frame with at least one pixel above the operating point."""

    image: ImageReading
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Frames of one Segmentation, and their masks: (frames, rows, columns, bands)."""

    marked: tuple[Marked, ...]
    masks: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class MarkedRegion:
    """Region, and its frame in the Segmentation.

    Attributes:
        segmentation_frame: 1-based frame number in the Segmentation, segment 1.
    """

    image: ImageReading
    region: Region
    segmentation_frame: int


@dataclass(frozen=True, slots=True)
class SegmentationResult:
    """Segmentation that has been saved, as the report references it.

    Attributes:
        reference: its class, instance, series and study UIDs.
    """

    reference: Dataset
    source_series_uid: str
    tracking_id: str
    tracking_uid: str
    regions: tuple[MarkedRegion, ...]


@dataclass(frozen=True, slots=True)
class Segmentations:
    """Segmentations of a reading.

    Attributes:
        marked: the frames with a pixel above the operating point, in reading order.
        problems: sentences on images that could not be segmented; no patient data.
    """

    results: tuple[SegmentationResult, ...]
    marked: tuple[ImageReading, ...]
    problems: tuple[str, ...]


def save_segmentations(reading: Reading, *, device: Device, save: Save) -> Segmentations:
    """Make the banded Segmentations of an abnormal study with a marked pixel.

    Images that share a volume share a Segmentation; an image without a place in a frame of
    reference has its own, and so has each of its frames. All from one source series form one new
    series. Only marked frames of one Segmentation at a time are held in memory.
    """
    if reading.verdict != Verdict.ABNORMAL or reading.operating_point is None:
        return Segmentations((), (), ())
    levels = bands(reading.operating_point)
    series = ResultSeries(reading, device, "SEG", "anomaly map")
    results: list[SegmentationResult] = []
    all_marked: list[ImageReading] = []
    problems: list[str] = []
    for key, stack in group_by_stack(reading.images).items():
        for number, part in enumerate(_parts(stack, levels), start=1):
            all_marked += [found.image for found in part.marked]
            try:
                dataset, result = _build(
                    series, levels, part=part, stack=stack, key=part_key(key, number)
                )
            except GEOMETRY_ERRORS as error:
                problems.append(refusal("segmentation", stack[0], error, frames=len(part.marked)))
                continue
            save("SEG", dataset)
            results.append(result)
    return Segmentations(tuple(results), tuple(all_marked), tuple(problems))


def _parts(stack: Iterable[ImageReading], levels: tuple[Band, ...]) -> Iterator[Part]:
    """Divide the marked frames of a stack into parts that fit in memory."""
    marked: list[Marked] = []
    masks: list[npt.NDArray[np.uint8]] = []
    for image in stack:
        if (found := _mark(image, levels)) is None:
            continue
        if marked and (len(masks) + 1) * found[1].nbytes > LARGEST_MASKS_BYTES:
            yield _part(marked, masks)
        marked.append(found[0])
        masks.append(found[1])
    if marked:
        yield _part(marked, masks)


def _part(marked: list[Marked], masks: list[npt.NDArray[np.uint8]]) -> Part:
    """Make a part of the collected frames; the lists are emptied, so nothing is held twice."""
    part = Part(tuple(marked), np.stack(masks))
    marked.clear()
    masks.clear()
    return part


def _mark(
    image: ImageReading, levels: tuple[Band, ...]
) -> tuple[Marked, npt.NDArray[np.uint8]] | None:
    if image.map is None or image.placement is None:
        return None
    anomaly_map = image.read_map()
    # Resampling invents no new maximum, so most frames need not be resampled at all.
    if not image.placement.crop(anomaly_map).max() > levels[0].threshold:
        return None
    source_map = image.placement.to_source(anomaly_map)
    masks = band_masks(source_map, levels)
    if not masks.any():
        return None
    return Marked(image, find_regions(masks[:, :, 0], source_map)), masks


def _build(
    series: ResultSeries,
    levels: tuple[Band, ...],
    *,
    part: Part,
    stack: Sequence[ImageReading],
    key: str,
) -> tuple[Dataset, SegmentationResult]:
    reading, first = series.reading, part.marked[0].image
    tracking_id = f"{to_ascii(reading.task_name)} version {reading.task_version} marked"
    planes = SourcePlanes([found.image for found in part.marked], stack=stack)
    dataset = Segmentation(
        source_images=planes.datasets,
        pixel_array=part.masks,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(level, reading, series.device, levels=levels, key=key, tracking=tracking_id)
            for level in levels
        ],
        content_description="Anomaly map in bands, not for diagnostic use",
        content_label="ANOMALY_BANDS",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        **series.arguments(first, key=key),
    )
    series.finish(dataset, planes, first, key=key)
    frames = _first_segment_frames(dataset)
    regions = tuple(
        MarkedRegion(found.image, region, _frame_of(found.image, frames))
        for found in part.marked
        for region in found.regions
    )
    result = SegmentationResult(
        reference=reference_to(dataset),
        source_series_uid=first.header.series_instance_uid,
        tracking_id=tracking_id,
        tracking_uid=derive_uid(reading, "tracking", key, "1"),
        regions=regions,
    )
    return dataset, result


def _describe(
    level: Band,
    reading: Reading,
    device: Device,
    *,
    levels: tuple[Band, ...],
    key: str,
    tracking: str,
) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=level.segment_number,
        segment_label=f"Anomaly map, {level.name}",
        segmented_property_category=concept(reading.category),
        segmented_property_type=concept(reading.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_identification(reading, device),
        tracking_uid=derive_uid(reading, "tracking", key, str(level.segment_number)),
        tracking_id=f"{tracking} {level.segment_number}",
        display_color=CIELabColor.from_rgb(*level.colour),
    )
    description.SegmentDescription = (
        f"Pixels whose anomaly score is above {level.threshold:.4g} on a scale of 0 to 1; band "
        f"{level.segment_number} of {len(levels)}, each within the one before. The score is no "
        "probability. Not for diagnostic use."
    )
    return description


def concept(code: Code) -> CodedConcept:
    """Convert a code for highdicom."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _first_segment_frames(dataset: Dataset) -> dict[tuple[str, int], int]:
    """Map source instance and frame to the frame of segment 1."""
    frames: dict[tuple[str, int], int] = {}
    for number, groups in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != 1:
            continue
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        frame = int(source.get("ReferencedFrameNumber") or 1)
        frames[str(source.ReferencedSOPInstanceUID), frame] = number
    return frames


def _frame_of(image: ImageReading, frames: dict[tuple[str, int], int]) -> int:
    return frames[image.header.sop_instance_uid, image.frame_number]
