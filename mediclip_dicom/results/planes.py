"""Which planes a Segmentation has: those of its sources, if they have any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from highdicom.spatial import get_volume_positions
from pydicom.dataset import Dataset

from mediclip_dicom.results.bands import Region
from mediclip_dicom.results.reading import ImageReading
from mediclip_dicom.results.source import (
    SECONDARY_CAPTURE,
    read_source,
)

# One instance per slice, in a volume: these share a Segmentation.
_SLICE_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image
        "1.2.840.10008.5.1.4.1.1.128",  # Positron Emission Tomography Image
    }
)

# Functional groups place every frame of these: one Segmentation for the instance.
_ENHANCED_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET Image
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET Image
    }
)


@dataclass(frozen=True, slots=True)
class Marked:
    """A frame with at least one pixel above the operating point."""

    image: ImageReading
    masks: npt.NDArray[np.uint8]
    regions: tuple[Region, ...]


def group_key(image: ImageReading) -> str:
    """The same for images that can share a Segmentation, and the same at every repeat."""
    header = image.header
    if not is_placed(image):
        return f"{header.sop_instance_uid} {image.frame_number}"
    if header.sop_class_uid in _ENHANCED_SOP_CLASSES:
        return header.sop_instance_uid
    grid = (header.rows, header.columns, header.pixel_spacing, header.image_orientation)
    return f"{header.series_instance_uid} {header.frame_of_reference_uid} {grid}"


def is_placed(image: ImageReading) -> bool:
    """Whether a Segmentation of it can have planes in a frame of reference."""
    header = image.header
    return (
        header.sop_class_uid in _SLICE_SOP_CLASSES | _ENHANCED_SOP_CLASSES
        and header.frame_of_reference_uid is not None
        and header.image_position is not None
        and header.image_orientation is not None
    )


def sources_and_pixels(
    images: list[ImageReading], marked: Sequence[Marked]
) -> tuple[list[Dataset], npt.NDArray[np.uint8]]:
    """Source datasets, and (planes, rows, columns, bands) that lies on them plane by plane."""
    first = images[0]
    if not is_placed(first):
        return [_without_planes(read_source(first.path))], marked[0].masks[np.newaxis]
    if first.header.sop_class_uid in _SLICE_SOP_CLASSES:
        sources = [read_source(found.image.path) for found in marked]
        _tell_slice_spacing(sources, images)
        return sources, np.stack([found.masks for found in marked])
    pixels = np.zeros((first.header.number_of_frames, *marked[0].masks.shape), dtype=np.uint8)
    for found in marked:
        pixels[found.image.frame_number - 1] = found.masks
    return [read_source(first.path)], pixels


def _without_planes(source: Dataset) -> Dataset:
    """A source as highdicom takes it where there are no planes: one frame of a plain picture.

    highdicom 0.28 asks every multi-frame IOD for functional groups, which US and XA have not.
    `_refer_to_one_frame` afterwards names what was really read.
    """
    source.SOPClassUID = SECONDARY_CAPTURE
    for keyword in ("NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient"):
        if keyword in source:
            delattr(source, keyword)
    for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        if keyword in source:
            delattr(source, keyword)
    return source


def _tell_slice_spacing(sources: list[Dataset], images: list[ImageReading]) -> None:
    """Give the spacing of the whole stack, which the marked slices alone may not show."""
    spacing = _slice_spacing(images)
    for source in sources:
        if spacing is not None:
            source.SpacingBetweenSlices = f"{spacing:.6g}"
        # Empty is allowed in a slice (type 2), yet not in a Segmentation's planes.
        thickness = source.get("SliceThickness") or source.get("SpacingBetweenSlices")
        source.SliceThickness = thickness or None


def _slice_spacing(images: list[ImageReading]) -> float | None:
    positions = [
        image.header.image_position for image in images if image.header.image_position is not None
    ]
    orientation = images[0].header.image_orientation
    if orientation is None or len(positions) < 2:
        return None
    spacing, _ = get_volume_positions(image_positions=positions, image_orientation=orientation)
    return None if spacing is None else abs(float(spacing)) or None
