"""Maps smoothed along their stack, and the study score that is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai_core import smooth_slice
from ai_core.images import Placement
from mediclip_dicom.imaging.stacks import FrameStack, PlacedFrame, stack_frames

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StudyPeak:
    """Highest score of a study.

    Attributes:
        score: study score.
        frame: index of the frame that has it.
    """

    score: float
    frame: int


def smoothed_peak(
    frames: Sequence[PlacedFrame],
    scores: Sequence[float],
    *,
    read_map: Callable[[int], FloatMap],
    placements: Sequence[Placement],
) -> StudyPeak:
    """Find the highest pixel of a study's maps, smoothed along each stack, on the source's pixels.

    These are the values that findings begin at, so that the study score exceeds an operating point
    exactly where a finding does. Slices farther apart than `THIN_MM` are not averaged: a lesion
    may be in one of them alone. An image that is no part of a stack keeps its image score.

    Args:
        frames: the frames that were scored, at least one.
        scores: image score of each.
        read_map: gives the map of a frame by its index, float32, shape (224, 224).
        placements: of each frame in its map.
    """
    best = StudyPeak(-np.inf, 0)
    for stack in stack_frames(frames):
        if len(stack.order) == 1:
            index = stack.order[0]
            best = max(best, StudyPeak(scores[index], index), key=_score)
            continue
        for index, smooth in _smoothed(stack, read_map, placements):
            # resampling invents no new maximum, so that most frames need not be resampled at all
            if placements[index].crop(smooth).max() > best.score:
                highest = float(on_source(smooth, placements[index]).max())
                best = max(best, StudyPeak(highest, index), key=_score)
    return best


def on_source(values: FloatMap, placement: Placement) -> FloatMap:
    """Resample a map onto the source's pixels, in [0, 1]."""
    return np.clip(placement.to_source(values), 0.0, 1.0)


def smooth_frame(
    place: int,
    *,
    near: Sequence[bool],
    shifts: Sequence[tuple[float, float]],
    read_map: Callable[[int], FloatMap],
    placement_of: Callable[[int], Placement],
) -> FloatMap:
    """Average the map of a frame with those of its near neighbours, in the plane of the frame.

    Args:
        place: of the frame in the order of its stack.
        near: for each frame but the last, whether the next counts.
        shifts: as `FrameStack.shifts`.
        read_map: gives the map of a frame by its place, float32, shape (224, 224).
        placement_of: gives the placement of a frame in its map.
    """

    def neighbour(other: int) -> FloatMap | None:
        if not 0 <= other < len(shifts) or not near[min(place, other)]:
            return None
        (row, column), (own_row, own_column) = shifts[other], shifts[place]
        by = row - own_row, column - own_column
        return _moved(read_map(other), by=by, placement=placement_of(other))

    return smooth_slice(read_map(place), before=neighbour(place - 1), after=neighbour(place + 1))


def _moved(
    values: FloatMap,
    *,
    by: tuple[float, float],
    placement: Placement,
) -> FloatMap:
    """Move a map to where it is in the plane of another slice of its stack.

    Args:
        values: shape (224, 224).
        by: (row, column) offset from the other slice, in pixels of the source.
        placement: of the source in the map.

    Returns:
        The moved map, by whole pixels of the map; its edge is repeated where nothing is known.
    """
    rows_scale, columns_scale = placement.scale
    steps = round(by[0] * rows_scale), round(by[1] * columns_scale)
    if steps == (0, 0):
        return values
    rows, columns = (
        np.clip(np.arange(length) - step, 0, length - 1)
        for length, step in zip(values.shape, steps, strict=True)
    )
    return values[np.ix_(rows, columns)]


def _score(peak: StudyPeak) -> float:
    return peak.score


def _smoothed(
    stack: FrameStack,
    read_map: Callable[[int], FloatMap],
    placements: Sequence[Placement],
) -> Iterator[tuple[int, FloatMap]]:
    """Yield the index and the smoothed map of each frame; three maps are in memory."""
    held: dict[int, FloatMap] = {}

    def read(place: int) -> FloatMap:
        if place not in held:
            held[place] = read_map(stack.order[place])
        return held[place]

    for place, index in enumerate(stack.order):
        yield (
            index,
            smooth_frame(
                place,
                near=stack.thin,
                shifts=stack.shifts,
                read_map=read,
                placement_of=lambda at: placements[stack.order[at]],
            ),
        )
        held.pop(place - 1, None)
