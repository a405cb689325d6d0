"""Readings of series with lesions of known size in space: their maps are sections of ellipsoids."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mediclip_dicom.imaging import ImageHeader, Plane, SourceImage, place, read_header
from mediclip_dicom.results import ImageReading
from tests.factories import modalities

BACKGROUND = 0.1
SIDE = 224


@dataclass(frozen=True)
class Ellipsoid:
    """A lesion: centre and half axes in mm, in patient coordinates, and the map's value in it."""

    centre: tuple[float, float, float]
    half_axes: tuple[float, float, float]
    value: float = 0.9

    @property
    def volume(self) -> float:
        return 4 / 3 * math.pi * math.prod(self.half_axes)


def slices_of(count: int, *, step: float, spacing: float = 0.9) -> list[Plane]:
    """Axial planes from z = 0 on, about x = y = 0."""
    corner = -SIDE / 2 * spacing
    return [
        Plane((corner, corner, n * step), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (spacing, spacing))
        for n in range(count)
    ]


def space(planes: Sequence[Plane], lesions: Sequence[Ellipsoid]) -> list[ImageReading]:
    """A series of CT slices in these planes, of 224 × 224 pixels, without files."""
    template = _ct_header()
    images = []
    for number, plane in enumerate(planes, start=1):
        header = dataclasses.replace(
            template,
            sop_instance_uid=f"{template.series_instance_uid}.{number}",
            rows=SIDE,
            columns=SIDE,
            instance_number=number,
            image_position=(plane.position[0], plane.position[1], plane.position[2]),
            image_orientation=plane.orientation,
            pixel_spacing=(plane.spacing[0], plane.spacing[1]),
            planes=(plane,),
        )
        anomaly_map = section(plane, lesions)
        images.append(
            ImageReading(
                source=SourceImage(Path(f"{number}.dcm"), header),
                frame_number=1,
                score=float(anomaly_map.max()),
                map=anomaly_map,
                placement=place(header, mode="pad"),
                skipped=None,
            )
        )
    return images


def section(plane: Plane, lesions: Sequence[Ellipsoid], *, side: int = SIDE) -> np.ndarray:
    """The map of a plane: the lesions' values where they cut it."""
    row, column = np.mgrid[0:side, 0:side].astype(np.float64)
    axes = np.asarray(plane.orientation)
    places = (
        np.asarray(plane.position)
        + column[..., np.newaxis] * axes[:3] * plane.spacing[1]
        + row[..., np.newaxis] * axes[3:] * plane.spacing[0]
    )
    anomaly_map = np.full((side, side), BACKGROUND, dtype=np.float32)
    for lesion in lesions:
        distance = (places - np.asarray(lesion.centre)) / np.asarray(lesion.half_axes)
        anomaly_map[(distance**2).sum(axis=-1) < 1] = lesion.value
    return anomaly_map


@cache
def _ct_header() -> ImageHeader:
    with TemporaryDirectory() as folder:
        return read_header(modalities.ct_series(Path(folder))[0])
