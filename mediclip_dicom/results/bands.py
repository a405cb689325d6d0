"""Nested bands of an anomaly map: a viewer draws a binary segment in one flat colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.measure import label, regionprops

_NAMES = ("at the operating point", "higher", "highest")
_COLOURS = ((255, 221, 0), (255, 136, 0), (221, 0, 0))


@dataclass(frozen=True, slots=True)
class Band:
    """Nested segment of a Segmentation.

    Attributes:
        segment_number: 1-based; band 1 holds band 2, which holds band 3.
        name: a word or two for the segment's label.
        threshold: on the map's 0..1 scale; a pixel strictly above it belongs.
        colour: recommended display colour, sRGB.
    """

    segment_number: int
    name: str
    threshold: float
    colour: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Region:
    """Connected region of the first band in one frame (8-connected).

    Attributes:
        area_pixels: source pixels that it covers.
        row: row of the centre of mass, 1-based.
        column: column of the centre of mass, 1-based.
        peak: highest value of the map in it.
    """

    area_pixels: int
    row: int
    column: int
    peak: float


def bands(operating_point: float) -> tuple[Band, ...]:
    """Divide the map above the operating point into three bands of equal height."""
    step = (1.0 - operating_point) / len(_NAMES)
    return tuple(
        Band(number + 1, name, operating_point + number * step, colour)
        for number, (name, colour) in enumerate(zip(_NAMES, _COLOURS, strict=True))
    )


def band_masks(
    source_map: npt.NDArray[np.float32], levels: tuple[Band, ...]
) -> npt.NDArray[np.uint8]:
    """Mark the pixels of each band: (rows, columns, bands) of 0 and 1 on the source's pixels."""
    thresholds = np.array([level.threshold for level in levels], dtype=np.float32)
    return (source_map[:, :, np.newaxis] > thresholds).astype(np.uint8)


def find_regions(
    mask: npt.NDArray[np.uint8], source_map: npt.NDArray[np.float32]
) -> tuple[Region, ...]:
    """Find the connected regions of a frame's first band, the largest first."""
    labelled = label(mask, connectivity=2)  # type: ignore[no-untyped-call]
    properties = regionprops(labelled, intensity_image=source_map)  # type: ignore[no-untyped-call]
    found = [
        Region(
            area_pixels=int(region.num_pixels),
            row=round(float(region.centroid[0])) + 1,
            column=round(float(region.centroid[1])) + 1,
            peak=float(region.intensity_max),
        )
        for region in properties
    ]
    return tuple(sorted(found, key=lambda region: (-region.area_pixels, region.row, region.column)))
