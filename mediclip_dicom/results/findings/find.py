"""Findings of a reading: regions of all its series, measured, ranked and counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai_core import Verdict
from mediclip_dicom.results.comparison import NormalPatch
from mediclip_dicom.results.findings.finding import Finding, Size
from mediclip_dicom.results.findings.levels import Levels
from mediclip_dicom.results.findings.measure import diameters
from mediclip_dicom.results.findings.regions import StackRegions, find_regions
from mediclip_dicom.results.findings.stacks import stacks_of
from mediclip_dicom.results.reading import ImageReading, Reading

REPORTED = 10
"""Findings that are reported one by one; the others are counted."""

SPECK_MM = 4.0
"""Diameter in mm below which a region is a speck: a sphere in a series, a disc in an image."""

SPECK_SHARE = 0.0002
"""Share of an image below which a region is a speck where the pixels' size is unknown."""

PATCH = 14
"""Side in pixels of the smallest patch that a tower sees in its input; nothing smaller is
resolved. A bump of a single patch covers less than half of it at its level, a lesion more."""

_LEAST_CROSS_SECTION, _LEAST_OF_LONG, _LEAST_LENGTH = PATCH**2 / 2, PATCH**2 / 8, PATCH / 2

_NO_SPACING = "the image has no pixel spacing"


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of a reading.

    Attributes:
        reported: the first of them by rank, numbered from 1.
        further: number of findings that are counted only.
        specks: number of regions that are smaller than a finding: than `SPECK_MM`, or than the
            detector resolves.
        compared: nearest normal patch of each reported finding, in their order; None where they
            were not looked up, or the task version can't.
        regions: regions of each stack, in the order of the reading.
        marked: frames with a part of a region, in the order of the reading.
    """

    reported: tuple[Finding, ...]
    further: int
    specks: int
    regions: tuple[StackRegions, ...]
    marked: tuple[ImageReading, ...]
    compared: tuple[NormalPatch, ...] | None = None

    def compared_with(self, number: int) -> NormalPatch | None:
        """Return the nearest normal patch of a finding, if it is known."""
        patches = (patch for patch in self.compared or () if patch.finding == number)
        return next(patches, None)


def find(reading: Reading) -> Findings:
    """Find, measure and rank the connected regions above the operating point.

    A reading that is not abnormal, or has no operating point, has no findings. Where every region
    is a speck the first of them is reported, so that an abnormal study always points somewhere.

    Args:
        reading: its maps are read slice by slice; none is kept.
    """
    if reading.verdict != Verdict.ABNORMAL or reading.operating_point is None:
        return Findings((), 0, 0, (), ())
    regions: list[StackRegions] = []
    candidates: list[_Candidate] = []
    for stack in stacks_of(reading.images):
        levels = Levels.of(stack, reading.operating_point, smoothed=reading.smoothed)
        found = find_regions(stack, levels)
        if found.count:
            candidates += _candidates(found, len(regions), reading)
            regions.append(found)
    large = [candidate for candidate in candidates if not candidate.speck]
    ranked = sorted(large or candidates, key=_Candidate.rank)
    reported = ranked[: REPORTED if large else 1]
    specks = len(candidates) - (len(large) or len(reported))
    return Findings(
        reported=tuple(
            _measure(
                candidate,
                regions[candidate.stack],
                number=number,
                extrapolated=reading.extrapolated(candidate.p_value),
            )
            for number, candidate in enumerate(reported, start=1)
        ),
        further=len(large) - len(reported) if large else 0,
        specks=specks,
        regions=tuple(regions),
        marked=_marked(reading.images, regions),
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Region before its mask is looked at.

    Attributes:
        size: volume in mm³ of a stack, area in mm² or pixels of one image: comparable within a
            kind of image.
        pieces: indices of its pieces.
    """

    stack: int
    region: int
    pieces: tuple[int, ...]
    size: float
    peak: float
    p_value: float | None
    speck: bool

    def rank(self) -> tuple[float, float, float, int, int]:
        """Return the sort key: p-value, size, peak, and the order of the reading for equal ones."""
        p_value = 1.0 if self.p_value is None else self.p_value
        return p_value, -self.size, -self.peak, self.stack, self.region


def _candidates(found: StackRegions, stack: int, reading: Reading) -> list[_Candidate]:
    area = 1.0
    pixel_size = found.stack.pixel_size
    if pixel_size is not None:
        area = pixel_size[0] * pixel_size[1]
    depth = np.asarray(found.stack.thickness or (1.0,))
    sizes = found.pixels * area * depth[found.slices]
    header = found.stack.images[0].header
    if pixel_size is None:
        smallest = SPECK_SHARE * header.rows * header.columns
    elif found.stack.volumetric:
        smallest = np.pi / 6 * SPECK_MM**3
    else:
        smallest = np.pi / 4 * SPECK_MM**2
    candidates = []
    order = np.argsort(found.regions, kind="stable")
    bounds = np.searchsorted(found.regions[order], np.arange(found.count + 1))
    for region in range(found.count):
        pieces = order[bounds[region] : bounds[region + 1]]
        peak = float(found.peaks[pieces].max())
        size = float(sizes[pieces].sum())
        scores = [found.stack.images[n].score for n in found.slices[pieces]]
        score = min(peak, max(value for value in scores if value is not None))
        candidates.append(
            _Candidate(
                stack=stack,
                region=region,
                pieces=tuple(int(piece) for piece in pieces),
                size=size,
                peak=peak,
                p_value=None if reading.p_value_of is None else reading.p_value_of(score),
                speck=size < smallest or not _resolved(found, pieces),
            )
        )
    return candidates


def _resolved(found: StackRegions, pieces: npt.NDArray[np.intp]) -> bool:
    """Return whether a region is as large as the detector can resolve, in its largest slice.

    Half a patch will do; an eighth where it is at least half a patch's side long along the normal.
    """
    image = found.stack.images[0]
    placement = image.placement
    if placement is None:
        raise ValueError("a stack holds scored frames only")
    down, across = placement.scale
    slices, at = np.unique(found.slices[pieces], return_inverse=True)
    area = down * across * float(np.bincount(at, weights=found.pixels[pieces]).max())
    if found.stack.volumetric and found.stack.pixel_size is not None:
        length = sum(found.stack.thickness[n] for n in slices) / found.stack.pixel_size[0] * down
        if length >= _LEAST_LENGTH and area >= _LEAST_OF_LONG:
            return True
    return area >= _LEAST_CROSS_SECTION


def _measure(
    candidate: _Candidate, found: StackRegions, *, number: int, extrapolated: bool
) -> Finding:
    """Measure a region on the frame with its largest cross-section."""
    stack = found.stack
    pieces = list(candidate.pieces)
    slices = found.slices[pieces]
    per_slice = np.bincount(slices, weights=found.pixels[pieces])
    largest = np.flatnonzero(per_slice == per_slice.max())
    key = int(largest[len(largest) // 2])  # of equal ones the middle
    values, labels = found.read(key)
    mask = labels == candidate.region
    row, column = np.nonzero(mask)
    peak_row, peak_column = _peak_place(values, row, column)
    pixel_size = stack.pixel_size
    size = Size(
        volume_mm3=candidate.size if stack.volumetric and pixel_size is not None else None,
        area_mm2=None,
        pixels=len(row),
        longest_mm=None,
        perpendicular_mm=None,
        unknown=_NO_SPACING,
    )
    if pixel_size is not None:
        longest, perpendicular = diameters(mask, pixel_size)
        size = dataclasses.replace(
            size,
            area_mm2=len(row) * pixel_size[0] * pixel_size[1],
            longest_mm=longest,
            perpendicular_mm=perpendicular,
            unknown=None,
        )
    return Finding(
        number=number,
        key_image=stack.images[key],
        first=stack.images[int(slices.min())],
        last=stack.images[int(slices.max())],
        slices=len(np.unique(slices)),
        centre_mm=_centre(found, pieces),
        row=round(float(row.mean())) + 1,
        column=round(float(column.mean())) + 1,
        box=(int(row.min()) + 1, int(column.min()) + 1, int(row.max()) + 1, int(column.max()) + 1),
        peak_row=peak_row + 1,
        peak_column=peak_column + 1,
        size=size,
        peak=candidate.peak,
        floor=found.floor_of(candidate.region),
        p_value=candidate.p_value,
        extrapolated=extrapolated,
        stack=candidate.stack,
        region=candidate.region,
    )


def _peak_place(
    values: npt.NDArray[np.float32], row: npt.NDArray[np.intp], column: npt.NDArray[np.intp]
) -> tuple[int, int]:
    """Return the pixel of the highest value, from 0; of equal ones the nearest to their middle.

    A map is cut at its image score, so that its highest pixels tie.
    """
    inside = values[row, column]
    highest = inside == inside.max()
    row, column = row[highest], column[highest]
    nearest = int(((row - row.mean()) ** 2 + (column - column.mean()) ** 2).argmin())
    return int(row[nearest]), int(column[nearest])


def _centre(found: StackRegions, pieces: Sequence[int]) -> tuple[float, float, float] | None:
    """Compute the centre of mass of a region in patient coordinates, in mm."""
    total, weighted = 0.0, np.zeros(3)
    for piece in pieces:
        index, pixels = int(found.slices[piece]), float(found.pixels[piece])
        place = found.stack.to_patient(
            index, float(found.rows[piece]) / pixels, float(found.columns[piece]) / pixels
        )
        if place is None:
            return None
        weight = pixels * (found.stack.thickness[index] if found.stack.thickness else 1.0)
        total += weight
        weighted += weight * np.asarray(place)
    centre = weighted / total
    return float(centre[0]), float(centre[1]), float(centre[2])


def _marked(
    images: Sequence[ImageReading], regions: Sequence[StackRegions]
) -> tuple[ImageReading, ...]:
    marked = {found.stack.images[n].frame_key for found in regions for n in found.marked_slices()}
    return tuple(image for image in images if image.frame_key in marked)
