"""Places of frames along their series, by Image Position (Patient)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mediclip_dicom.imaging.header import ImageHeader
from mediclip_dicom.imaging.planes import Plane
from mediclip_dicom.imaging.purpose import not_examination

_SAME_ORIENTATION = 0.99
"""Least cosine between the normals of one stack: headers round, and two stacks differ by more."""

_SHORTEST_SERIES_MM = 0.01
"""Positions that are closer together than this are one position."""


def series_places(headers: Iterable[ImageHeader]) -> Mapping[tuple[str, int], float]:
    """Compute the place of each frame along its series, from 0 (first position) to 1 (last).

    It is Image Position (Patient) projected on the normal of the image orientation, relative to
    the frames of the same series that have the same orientation, never the order of files.
    Localizers and the like don't count. The normal points to the patient's left, back or head,
    whichever it is nearest to, so that rows and columns that run the other way give the same
    places.

    Args:
        headers: of all images of the series.

    Returns:
        Places by SOP Instance UID and frame number from 1. Frames without a plane are absent, and
        so are stacks of one position.
    """
    headers = tuple(headers)
    left_out = not_examination(headers)
    by_series: dict[tuple[str, str | None], list[_Stack]] = defaultdict(list)
    for header in headers:
        if header.sop_instance_uid in left_out:
            continue
        stacks = by_series[header.series_instance_uid, header.frame_of_reference_uid]
        for number, plane in enumerate(header.planes, start=1):
            if plane is not None:
                stack = _stack_of(plane, stacks)
                position = float(stack.normal @ np.asarray(plane.position, dtype=np.float64))
                stack.positions[header.sop_instance_uid, number] = position
    places: dict[tuple[str, int], float] = {}
    for stack in (stack for stacks in by_series.values() for stack in stacks):
        first = min(stack.positions.values())
        length = max(stack.positions.values()) - first
        if length >= _SHORTEST_SERIES_MM:
            places |= {
                frame: (position - first) / length for frame, position in stack.positions.items()
            }
    return places


@dataclass(frozen=True, slots=True)
class _Stack:
    """Frames of one series with one orientation, and their positions along its normal in mm."""

    normal: npt.NDArray[np.float64]
    positions: dict[tuple[str, int], float] = field(default_factory=dict)


def _stack_of(plane: Plane, stacks: list[_Stack]) -> _Stack:
    """Return the stack that a plane belongs to; a new one joins the list."""
    cosines = np.asarray(plane.orientation, dtype=np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    normal *= np.sign(normal[np.abs(normal).argmax()])
    for stack in stacks:
        if float(stack.normal @ normal) >= _SAME_ORIENTATION:
            return stack
    stacks.append(_Stack(normal))
    return stacks[-1]
