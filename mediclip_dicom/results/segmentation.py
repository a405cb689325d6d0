"""The anomaly map as BINARY Segmentations, on the grid of the images that were read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from mediclip_dicom.results.bands import Band, Region, band_masks, bands, find_regions
from mediclip_dicom.results.identity import (
    LONG_STRING,
    SERIES_NUMBERS,
    algorithm_parameters,
    contributing_equipment,
    derive_uid,
    plain,
    series_description,
    stamp,
)
from mediclip_dicom.results.planes import Marked, group_key, is_placed, sources_and_pixels
from mediclip_dicom.results.reading import Code, Device, ImageReading, Reading, Verdict
from mediclip_dicom.results.source import (
    copy_character_set,
    references_to,
)


@dataclass(frozen=True, slots=True)
class MarkedRegion:
    """A region, and where the Segmentation shows it.

    Attributes:
        segmentation_frame: 1-based frame number in the Segmentation, segment 1.
    """

    image: ImageReading
    region: Region
    segmentation_frame: int


@dataclass(frozen=True, slots=True)
class SegmentationResult:
    """A Segmentation ready to be written, and what the report says of it."""

    dataset: Dataset
    source_series_uid: str
    tracking_id: str
    tracking_uid: str
    regions: tuple[MarkedRegion, ...]


@dataclass(frozen=True, slots=True)
class Segmentations:
    """All Segmentations of a reading.

    Attributes:
        problems: what could not be segmented and why, for the report; no patient data.
    """

    results: tuple[SegmentationResult, ...]
    problems: tuple[str, ...]


def build_segmentations(reading: Reading, *, device: Device) -> Segmentations:
    """Make the banded Segmentations: none unless the study is abnormal and a pixel is marked.

    Images that share a volume share a Segmentation; an image without a place in a frame of
    reference has its own, and so has each of its frames. All from one source series form one new
    series. Only marked frames are held in memory, a byte for each pixel and band.
    """
    if reading.verdict != Verdict.ABNORMAL or reading.operating_point is None:
        return Segmentations((), ())
    levels = bands(reading.operating_point)
    results: list[SegmentationResult] = []
    problems: list[str] = []
    instance_numbers: dict[str, int] = {}
    for key, images in _groups(reading.images).items():
        marked = [found for image in images if (found := _mark(image, levels)) is not None]
        if not marked:
            continue
        series_uid = images[0].header.series_instance_uid
        number = instance_numbers.get(series_uid, 0) + 1
        try:
            result = _build(
                reading, device, levels, images=images, marked=marked, key=key, number=number
            )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            # highdicom refuses geometries it cannot describe. The report then says so; a
            # Segmentation in the wrong place would be worse than none.
            problems.append(
                f"No segmentation of series {series_uid}, {len(marked)} marked frames: "
                f"{plain(str(error))}"
            )
            continue
        instance_numbers[series_uid] = number
        results.append(result)
    return Segmentations(tuple(results), tuple(problems))


def _groups(images: Iterable[ImageReading]) -> dict[str, list[ImageReading]]:
    """Images that can share a Segmentation, by a key that is the same at every repeat."""
    groups: dict[str, list[ImageReading]] = {}
    for image in images:
        if image.map is not None:
            groups.setdefault(group_key(image), []).append(image)
    return groups


def _mark(image: ImageReading, levels: tuple[Band, ...]) -> Marked | None:
    if image.map is None or image.placement is None:
        return None
    # Resampling invents no new maximum, so most frames need not be resampled at all.
    if not image.placement.crop(image.map).max() > levels[0].threshold:
        return None
    source_map = image.placement.to_source(image.map)
    masks = band_masks(source_map, levels)
    if not masks.any():
        return None
    return Marked(image, masks, find_regions(masks[:, :, 0], source_map))


def _build(
    reading: Reading,
    device: Device,
    levels: tuple[Band, ...],
    *,
    images: list[ImageReading],
    marked: list[Marked],
    key: str,
    number: int,
) -> SegmentationResult:
    header = images[0].header
    tracking_id = f"{plain(reading.task_name)} version {reading.task_version} marked"
    tracking_uid = derive_uid(reading, "tracking", key, "1")
    sources, pixels = sources_and_pixels(images, marked)
    dataset = Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(level, reading, device, levels=levels, key=key, tracking_id=tracking_id)
            for level in levels
        ],
        series_instance_uid=derive_uid(reading, "SEG series", header.series_instance_uid),
        series_number=SERIES_NUMBERS["SEG"],
        sop_instance_uid=derive_uid(reading, "SEG", key),
        instance_number=number,
        manufacturer=device.manufacturer,
        manufacturer_model_name=device.model,
        software_versions=device.software_version,
        device_serial_number=device.serial,
        content_description="Anomaly map in bands, not for diagnostic use",
        content_label="ANOMALY_BANDS",
        series_description=series_description(reading, what="anomaly map"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=True,
        contributing_equipment=[contributing_equipment(device)],
        specific_character_set=None,
    )
    copy_character_set(sources[0], dataset)
    _finish(dataset, reading, key=key)
    if not is_placed(images[0]):
        _refer_to_one_frame(dataset, images[0])
        # Required (2C) where no position and orientation say which way the rows run.
        dataset.PatientOrientation = sources[0].get("PatientOrientation") or None
    frames = _first_segment_frames(dataset)
    regions = tuple(
        MarkedRegion(found.image, region, _frame_of(found.image, frames))
        for found in marked
        for region in found.regions
    )
    return SegmentationResult(
        dataset, header.series_instance_uid, tracking_id, tracking_uid, regions
    )


def _describe(
    level: Band,
    reading: Reading,
    device: Device,
    *,
    levels: tuple[Band, ...],
    key: str,
    tracking_id: str,
) -> SegmentDescription:
    description = SegmentDescription(
        segment_number=level.segment_number,
        segment_label=f"Anomaly map, {level.name}",
        segmented_property_category=concept(reading.category),
        segmented_property_type=concept(reading.type),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name=plain(reading.task_name)[:LONG_STRING],
            family=codes.DCM.ArtificialIntelligence,
            version=str(reading.task_version),
            source=device.manufacturer,
            parameters=algorithm_parameters(reading),
        ),
        tracking_uid=derive_uid(reading, "tracking", key, str(level.segment_number)),
        tracking_id=f"{tracking_id} {level.segment_number}",
        display_color=CIELabColor.from_rgb(*level.colour),
    )
    description.SegmentDescription = (
        f"Pixels whose anomaly score is above {level.threshold:.4g} on a scale of 0 to 1; band "
        f"{level.segment_number} of {len(levels)}, each within the one before. The score is no "
        "probability. Not for diagnostic use."
    )
    return description


def concept(code: Code) -> CodedConcept:
    """A code as highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _finish(dataset: Dataset, reading: Reading, *, key: str) -> None:
    """What highdicom leaves to chance."""
    stamp(dataset, reading.finished_at)
    organization = derive_uid(reading, "dimensions", key)
    for item in (*dataset.DimensionIndexSequence, *dataset.DimensionOrganizationSequence):
        item.DimensionOrganizationUID = organization


def _refer_to_one_frame(dataset: Dataset, image: ImageReading) -> None:
    """Name the class and the frame that a Segmentation without planes was made from."""
    for item in references_to(dataset, image.header.sop_instance_uid):
        item.ReferencedSOPClassUID = image.header.sop_class_uid
        if image.header.number_of_frames > 1:
            item.ReferencedFrameNumber = image.frame_number


def _first_segment_frames(dataset: Dataset) -> dict[tuple[str, int], int]:
    """Segmentation frame numbers of segment 1 by source instance and source frame."""
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
