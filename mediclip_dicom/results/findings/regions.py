"""Regions: connected parts of a stack's maps, found slice by slice so that memory stays flat.

A map is resampled onto the source's pixels, two-dimensional pieces are labelled by scipy.ndimage,
and pieces of touching slices that overlap belong to one region. That is done twice: at the lowest
level of all, which gives each region its peak, and at the level that follows from the peak. Only
the figures of the pieces are kept; the labels of a slice are made again where a mask is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import label as label_pieces  # type: ignore[attr-defined]
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mediclip_dicom.imaging import Placement, on_source, smooth_frame
from mediclip_dicom.results.findings.levels import Levels
from mediclip_dicom.results.findings.stacks import Stack
from mediclip_dicom.results.reading import ImageReading

_NEIGHBOURS = np.ones((3, 3), dtype=bool)

FloatMap = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]
FloatTable = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Regions at the lowest level, before each is cut at its own.

    Attributes:
        slices: slice of each piece.
        regions: region of each piece, or -1 for a piece without a seed.
        floors: level of each region, float32.
    """

    slices: npt.NDArray[np.int64]
    regions: npt.NDArray[np.int64]
    floors: FloatMap


@dataclass(frozen=True, slots=True)
class StackRegions:
    """Regions of a stack, numbered from 0, by the figures of their two-dimensional pieces.

    Attributes:
        candidates: regions at the lowest level, from which these are cut.
        count: number of regions.
        slices: slice of each piece.
        regions: region of each piece, or -1 for a piece that belongs to none.
        pixels: pixels of each piece.
        rows: sum of the pixels' rows, from 0.
        columns: sum of the pixels' columns, from 0.
        peaks: highest value of the map in each piece.
        floors: level down to which the region of each piece has grown.
        slice_peaks: highest value of each slice's map on the source's pixels; 0 in slices without
            a piece.
    """

    stack: Stack
    levels: Levels
    candidates: _Candidates
    count: int
    slices: npt.NDArray[np.int64]
    regions: npt.NDArray[np.int64]
    pixels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float64]
    columns: npt.NDArray[np.float64]
    peaks: npt.NDArray[np.float64]
    floors: npt.NDArray[np.float64]
    slice_peaks: npt.NDArray[np.float64]

    def marked_slices(self) -> tuple[int, ...]:
        """List the slices that hold a part of a region, in order."""
        return tuple(int(n) for n in np.unique(self.slices[self.regions >= 0]))

    def read(self, index: int) -> tuple[FloatMap, npt.NDArray[np.int64]]:
        """Make the map and the regions of one slice again.

        Returns:
            The map on the source's pixels, and for each pixel its region, -1 for none.
        """
        seeds, labels, _ = _cut(self.stack, self.levels, self.candidates, index)
        first, last = np.searchsorted(self.slices, [index, index + 1])
        here = self.regions[first:last]
        return seeds, np.concatenate([[-1], here])[labels]

    def floor_of(self, region: int) -> float:
        """Return the level down to which a region has grown; pixels above it belong to it."""
        piece = int(np.flatnonzero(self.regions == region)[0])
        return float(self.floors[piece])


def find_regions(stack: Stack, levels: Levels) -> StackRegions:
    """Find the regions of a stack: 8-connected in the plane, overlapping from slice to slice.

    Args:
        stack: maps are read one at a time.
        levels: of the hysteresis.
    """
    candidates = _find_candidates(stack, levels)
    marked = set(candidates.slices[candidates.regions >= 0].tolist())
    pieces: list[FloatTable] = []

    def cut(index: int) -> Labels | None:
        if index not in marked:
            return None
        seeds, labels, floors = _cut(stack, levels, candidates, index)
        number = int(labels.max(initial=0))
        if not number:
            return None
        slice_peaks[index] = float(seeds.max())
        figures = _figures(index, seeds, labels, number)
        lowest = np.zeros((number, 1))
        lowest[labels[labels > 0] - 1, 0] = floors[labels > 0]
        pieces.append(np.concatenate([figures, lowest], axis=1))
        return labels

    slice_peaks = np.zeros(len(stack.images))
    links = _link(stack, cut)
    slices, pixels, rows, columns, peaks, floors = np.concatenate([*pieces, np.zeros((0, 6))]).T
    count, regions = _join(links, peaks, levels)
    return StackRegions(
        stack=stack,
        levels=levels,
        candidates=candidates,
        count=count,
        slices=slices.astype(np.int64),
        regions=regions,
        pixels=pixels.astype(np.int64),
        rows=rows,
        columns=columns,
        peaks=peaks,
        floors=floors,
        slice_peaks=slice_peaks,
    )


def _find_candidates(stack: Stack, levels: Levels) -> _Candidates:
    """Find the regions at the lowest level, and the level of each by the peak of its own map."""
    pieces: list[FloatTable] = []

    def label(index: int) -> Labels | None:
        seeds, values, labels = _label(stack, levels, index)
        number = int(labels.max(initial=0))
        if not number:
            return None
        table = np.zeros((number, 3))
        table[:, 0] = index
        inside = labels > 0
        np.maximum.at(table[:, 1], labels[inside] - 1, seeds[inside])
        np.maximum.at(table[:, 2], labels[inside] - 1, values[inside])
        pieces.append(table)
        return labels

    links = _link(stack, label)
    slices, peaks, own_peaks = np.concatenate([*pieces, np.zeros((0, 3))]).T
    count, regions = _join(links, peaks, levels)
    highest = np.zeros(count)
    seeded = regions >= 0
    np.maximum.at(highest, regions[seeded], own_peaks[seeded])
    floors = np.array([levels.floor_of(peak) for peak in highest.tolist()], dtype=np.float32)
    return _Candidates(slices.astype(np.int64), regions, floors)


def _link(stack: Stack, label: Callable[[int], Labels | None]) -> npt.NDArray[np.int64]:
    """Label slice by slice, and list the pairs of pieces of touching slices that overlap.

    Args:
        stack: the slices.
        label: called once for each slice in order; gives its pieces, from 1, or None.

    Returns:
        Pairs of pieces, counted from 0 over all slices, shape (pairs, 2).
    """
    links: list[npt.NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    before: Labels | None = None
    counted, first_of_before = 0, 0
    for index in range(len(stack.images)):
        labels = label(index)
        if index and before is not None and labels is not None and stack.touching[index - 1]:
            pairs = _overlaps(before, labels, shift=_shift(stack, index))
            links.append(pairs + np.array([first_of_before - 1, counted - 1], dtype=np.int64))
        before, first_of_before = labels, counted
        counted += 0 if labels is None else int(labels.max())
    return np.concatenate(links)


def _join(
    links: npt.NDArray[np.int64], peaks: npt.NDArray[np.float64], levels: Levels
) -> tuple[int, npt.NDArray[np.int64]]:
    """Join linked pieces to regions; those without a seed are none.

    Returns:
        Number of regions, and the region of each piece, from 0, or -1.
    """
    count = len(peaks)
    if not count:
        return 0, np.zeros(0, dtype=np.int64)
    graph = coo_array(  # type: ignore[no-untyped-call]
        (np.ones(len(links), dtype=bool), (links[:, 0], links[:, 1])), (count, count)
    )
    joined, regions = connected_components(graph, directed=False)
    highest = np.zeros(joined)
    np.maximum.at(highest, regions, peaks)
    seeded = highest > float(np.float32(levels.seed))
    numbers = np.where(seeded, np.cumsum(seeded) - 1, -1)
    return int(seeded.sum()), numbers[regions].astype(np.int64)


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


def _cut(
    stack: Stack, levels: Levels, candidates: _Candidates, index: int
) -> tuple[FloatMap, Labels, FloatMap]:
    """Return the seeds of a slice, the pieces left of its candidates, and each pixel's level."""
    seeds, values, labels = _label(stack, levels, index)
    floors = _floor_of_pixels(candidates, labels, index)
    member = (labels > 0) & ((seeds > np.float32(levels.seed)) & np.isfinite(floors))
    member |= values > floors
    pieces, _ = label_pieces(member, structure=_NEIGHBOURS, output=np.int32)
    return seeds, pieces, floors


def _smoothed(stack: Stack, index: int, raw: FloatMap, *, near: tuple[bool, ...]) -> FloatMap:
    return smooth_frame(
        index,
        near=near,
        shifts=stack.shifts,
        read_map=lambda at: raw if at == index else stack.images[at].read_map(),
        placement_of=lambda at: _placement(stack.images[at]),
    )


def _placement(image: ImageReading) -> Placement:
    if image.placement is None:
        raise ValueError("a stack holds scored frames only")
    return image.placement


def _label(stack: Stack, levels: Levels, index: int) -> tuple[FloatMap, FloatMap, Labels]:
    """Return seeds, values and the candidate pieces of a slice, from 1.

    Seeds are looked for in the first map. A region grows in the second: the slice's own, and where
    that is not far below the operating point the smoothed one, if it is higher.
    """
    image = stack.images[index]
    placement, raw = _placement(image), image.read_map()
    smooth = _smoothed(stack, index, raw, near=stack.touching)
    begins = raw
    if levels.smoothed:
        same = stack.thin == stack.touching
        begins = smooth if same else _smoothed(stack, index, raw, near=stack.thin)
    low = np.float32(levels.low)
    # Resampling invents no new maximum, so most frames need not be resampled at all.
    crop = placement.crop
    if not max(crop(found).max() for found in (smooth, raw, begins)) > low:
        empty = np.zeros((image.header.rows, image.header.columns), dtype=np.int32)
        return empty.astype(np.float32), empty.astype(np.float32), empty
    own = on_source(raw, placement)
    grown = own if smooth is raw else on_source(smooth, placement)
    seeds = own if begins is raw else grown if begins is smooth else on_source(begins, placement)
    # Maps are float32: a pixel at the operating point is not above it, whatever a double says.
    values = np.where(own > np.float32(levels.own), np.maximum(own, grown), own)
    member = (values > low) | (seeds > np.float32(levels.seed))
    labels, _ = label_pieces(member, structure=_NEIGHBOURS, output=np.int32)
    return seeds, values, labels


def _floor_of_pixels(candidates: _Candidates, labels: Labels, index: int) -> FloatMap:
    """Return the level of the candidate region of each pixel; inf outside of them."""
    first, last = np.searchsorted(candidates.slices, [index, index + 1])
    regions = candidates.regions[first:last]
    floors = np.concatenate([candidates.floors, [np.float32(np.inf)]]).astype(np.float32)
    return np.concatenate([[np.float32(np.inf)], floors[regions]]).astype(np.float32)[labels]
