"""Regions: connected parts of a stack's maps, found slice by slice so that memory stays flat.

A map is resampled onto the source's pixels, two-dimensional pieces are labelled by scipy.ndimage,
and pieces of touching slices that overlap belong to one region. Only the figures of the pieces are
kept; the labels of a slice are made again where a mask is needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label as label_pieces  # type: ignore[attr-defined]
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ai_core import smooth_slice
from mediclip_dicom.imaging import move_to, on_source
from mediclip_dicom.results.findings.stacks import Stack

GROWTH = 0.95
"""Low threshold of the hysteresis, as a share of the operating point: a region begins above the
operating point and grows down to this."""

OWN_SHARE = 0.8
"""Share of the operating point that a pixel's own map has to reach for growth: without it a strong
lesion would spread into the slices next to it through their average."""

_NEIGHBOURS = np.ones((3, 3), dtype=bool)

FloatMap = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
FloatTable = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Levels:
    """Thresholds of the hysteresis on the map's 0..1 scale.

    Attributes:
        seed: operating point; a region holds at least one pixel strictly above it.
        low: pixels above it belong, in the map smoothed along the stack, ...
        own: ... if they are above this in their own map, too.
        smoothed: whether seeds are looked for in the smoothed map, too. That is right only where
            the operating point was calibrated on smoothed maps.
    """

    seed: float
    low: float
    own: float
    smoothed: bool = False

    @classmethod
    def at(cls, operating_point: float, *, smoothed: bool = False) -> Levels:
        """Make the levels of an operating point."""
        return cls(operating_point, operating_point * GROWTH, operating_point * OWN_SHARE, smoothed)


@dataclass(frozen=True, slots=True)
class StackRegions:
    """Regions of a stack, numbered from 0, by the figures of their two-dimensional pieces.

    Attributes:
        count: number of regions.
        slices: slice of each piece.
        regions: region of each piece, or -1 for a piece that belongs to none.
        pixels: pixels of each piece.
        rows: sum of the pixels' rows, from 0.
        columns: sum of the pixels' columns, from 0.
        peaks: highest value of the map in each piece.
        slice_peaks: highest value of each slice's map on the source's pixels; 0 in slices without
            a piece.
    """

    stack: Stack
    levels: Levels
    count: int
    slices: npt.NDArray[np.int64]
    regions: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    peaks: npt.NDArray[np.float64]
    slice_peaks: npt.NDArray[np.float64]

    def marked_slices(self) -> tuple[int, ...]:
        """List the slices that hold a part of a region, in order."""
        return tuple(int(n) for n in np.unique(self.slices[self.regions >= 0]))

    def read(self, index: int) -> tuple[FloatMap, npt.NDArray[np.int64]]:
        """Make the map and the regions of one slice again.

        Returns:
            The map on the source's pixels, and for each pixel its region, -1 for none.
        """
        seeds, labels = _label(self.stack, self.levels, index)
        first, last = np.searchsorted(self.slices, [index, index + 1])
        here = self.regions[first:last]
        return seeds, np.concatenate([[-1], here])[labels]


def find_regions(stack: Stack, levels: Levels) -> StackRegions:
    """Find the regions of a stack: 8-connected in the plane, overlapping from slice to slice.

    Args:
        stack: maps are read one at a time.
        levels: of the hysteresis.
    """
    pieces: list[FloatTable] = []
    links: list[npt.NDArray[np.int64]] = []
    slice_peaks = np.zeros(len(stack.images))
    before: Labels | None = None
    counted, first_of_before = 0, 0
    for index in range(len(stack.images)):
        seeds, labels = _label(stack, levels, index)
        number = int(labels.max(initial=0))
        if index and before is not None and number and stack.touching[index - 1]:
            pairs = _overlaps(before, labels, shift=_shift(stack, index))
            links.append(pairs + np.array([first_of_before - 1, counted - 1], dtype=np.int64))
        if number:
            slice_peaks[index] = float(seeds.max())
            pieces.append(_figures(index, seeds, labels, number))
        before, first_of_before = (labels if number else None), counted
        counted += number
    return _join(stack, levels, pieces, links, slice_peaks)


def _join(
    stack: Stack,
    levels: Levels,
    pieces: list[FloatTable],
    links: list[npt.NDArray[np.int64]],
    slice_peaks: npt.NDArray[np.float64],
) -> StackRegions:
    """Join linked pieces to regions; those without a seed are none."""
    slices, pixels, rows, columns, peaks = np.concatenate([*pieces, np.zeros((0, 5))]).T
    count = len(slices)
    pairs = np.concatenate([*links, np.zeros((0, 2), dtype=np.int64)])
    graph = coo_array(  # type: ignore[no-untyped-call]
        (np.ones(len(pairs), dtype=bool), (pairs[:, 0], pairs[:, 1])), (count, count)
    )
    joined, regions = connected_components(graph, directed=False) if count else (0, slices)
    regions = regions.astype(np.int64)
    highest = np.zeros(joined)
    np.maximum.at(highest, regions, peaks)
    seeded = highest > float(np.float32(levels.seed))
    numbers = np.where(seeded, np.cumsum(seeded) - 1, -1)
    return StackRegions(
        stack=stack,
        levels=levels,
        count=int(seeded.sum()),
        slices=slices.astype(np.int64),
        regions=numbers[regions].astype(np.int64),
        pixels=pixels.astype(np.int64),
        rows=rows,
        columns=columns,
        peaks=peaks,
        slice_peaks=slice_peaks,
    )


def _figures(index: int, seeds: FloatMap, labels: Labels, number: int) -> FloatTable:
    """Compute slice, pixels, sums of rows and columns, and peak of each piece, a row for each."""
    row, column = np.nonzero(labels)
    piece = labels[row, column] - 1
    table = np.zeros((number, 5))
    table[:, 0] = index
    for at, weights in ((1, None), (2, row), (3, column)):
        table[:, at] = np.bincount(piece, weights=weights, minlength=number)
    np.maximum.at(table[:, 4], piece, seeds[row, column])
    return table


def _overlaps(before: Labels, here: Labels, *, shift: tuple[int, int]) -> npt.NDArray[np.int64]:
    """List the pairs of pieces, from 1, that share a place in the patient's plane.

    Args:
        before: labels of the slice before.
        here: labels of a slice.
        shift: whole pixels (rows, columns) by which the slice is displaced against the one before.
    """
    first = before[_part(shift[0]), _part(shift[1])]
    second = here[_part(-shift[0]), _part(-shift[1])]
    both = (first > 0) & (second > 0)
    return np.unique(np.stack([first[both], second[both]], axis=1), axis=0).astype(np.int64)


def _part(shift: int) -> slice:
    return slice(shift, None) if shift >= 0 else slice(None, shift)


def _shift(stack: Stack, index: int) -> tuple[int, int]:
    """Return the displacement of a slice against the one before it, in whole pixels."""
    before, here = stack.shifts[index - 1], stack.shifts[index]
    return round(here[0] - before[0]), round(here[1] - before[1])


def _neighbour(stack: Stack, index: int, *, of: int, near: tuple[bool, ...]) -> FloatMap | None:
    """Read the map of a near slice, moved to where it is in the plane of slice `of`."""
    if not 0 <= index < len(stack.images) or not near[min(index, of)]:
        return None
    image = stack.images[index]
    found = image.read_map()
    if image.placement is None:
        return None
    (row, column), (own_row, own_column) = stack.shifts[index], stack.shifts[of]
    return move_to(
        found,
        by=(row - own_row, column - own_column),
        header_size=(image.header.rows, image.header.columns),
        placement=image.placement,
    )


def _smoothed(stack: Stack, index: int, raw: FloatMap, *, near: tuple[bool, ...]) -> FloatMap:
    return smooth_slice(
        raw,
        before=_neighbour(stack, index - 1, of=index, near=near),
        after=_neighbour(stack, index + 1, of=index, near=near),
    )


def _label(stack: Stack, levels: Levels, index: int) -> tuple[FloatMap, Labels]:
    """Return the map in which seeds are looked for, and the labelled pieces of a slice, from 1."""
    image = stack.images[index]
    if image.placement is None:
        raise ValueError("a stack holds scored frames only")
    raw = image.read_map()
    smooth = _smoothed(stack, index, raw, near=stack.touching)
    seeds = raw
    if levels.smoothed:
        same = stack.thin == stack.touching
        seeds = smooth if same else _smoothed(stack, index, raw, near=stack.thin)
    # Resampling invents no new maximum, so most frames need not be resampled at all.
    crop = image.placement.crop
    if not (crop(smooth).max() > levels.low or crop(seeds).max() > levels.seed):
        empty = np.zeros((image.header.rows, image.header.columns), dtype=np.int32)
        return empty.astype(np.float32), empty
    at_source = on_source(seeds, image.placement)
    grown = at_source if smooth is seeds else image.placement.to_source(smooth)
    own = at_source if raw is seeds else image.placement.to_source(raw)
    # Maps are float32: a pixel at the operating point is not above it, whatever a double says.
    grows = (grown > np.float32(levels.low)) & (own > np.float32(levels.own))
    member = grows | (at_source > np.float32(levels.seed))
    labels, _ = label_pieces(member, structure=_NEIGHBOURS, output=np.int32)
    return at_source, labels
