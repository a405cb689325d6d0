"""Stacks: the frames of a series in their order along the slice normal, with gaps and tilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediclip_dicom.results.planes import group_by_stack
from mediclip_dicom.results.reading import ImageReading

LARGEST_GAP = 2.5
"""Distance across which neighbours still touch, in median distances: one missing slice is bridged,
two are not."""

SAME_PLACE_MM = 0.01
"""Distance along the normal at which two frames are in the same place."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Scored frames with one grid and orientation in one frame of reference, or a single frame.

    Attributes:
        key: names the stack within its reading, the same at every repeat.
        images: in the order along the slice normal, whatever the order of the files.
        touching: for each frame but the last, whether the next is near enough to share a region.
        thickness: mm along the normal that each frame stands for: half of the way to either
            neighbour, at an end or a gap half of the median distance; empty for a single frame.
        shifts: (row, column) offset of each frame's first pixel from that of the first frame within
            the plane, in pixels: a tilted gantry shears the stack.
    """

    key: str
    images: tuple[ImageReading, ...]
    touching: tuple[bool, ...]
    thickness: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...]

    @property
    def volumetric(self) -> bool:
        """Whether the stack has more than one slice, so that its regions have a volume."""
        return len(self.images) > 1

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Distance between rows and between columns in mm; None where no header says it."""
        first = self.images[0]
        spacing = first.header.pixel_spacing if first.plane is None else first.plane.spacing
        return None if spacing is None else (float(spacing[0]), float(spacing[1]))

    def to_patient(
        self, index: int, row: float, column: float
    ) -> tuple[float, float, float] | None:
        """Convert a place in a frame, rows and columns from 0, to patient coordinates in mm.

        Returns:
            (x, y, z) in the frame of reference (PS3.3 C.7.6.2.1.1), or None without a plane.
        """
        plane = self.images[index].plane
        if plane is None:
            return None
        along_row, along_column = _cosines(plane.orientation)
        place = (
            np.asarray(plane.position, dtype=np.float64)
            + along_row * plane.spacing[1] * column
            + along_column * plane.spacing[0] * row
        )
        return float(place[0]), float(place[1]), float(place[2])


def stacks_of(images: Sequence[ImageReading]) -> tuple[Stack, ...]:
    """Sort the scored frames of a reading into stacks; frames that were not scored are gaps."""
    stacks: list[Stack] = []
    for key, members in group_by_stack(images).items():
        stacks += _stacks(key, members)
    return tuple(stacks)


def _stacks(key: str, members: Sequence[ImageReading]) -> Iterator[Stack]:
    """Make the stack of a group, or one of each frame where no two have a distance."""
    first = members[0].plane
    if first is None or len(members) == 1:
        yield _single(key, members[0])
        return
    along_row, along_column = _cosines(first.orientation)
    normal = np.cross(along_row, along_column)
    positions = np.array([_position(image) for image in members])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    distances = np.diff(positions @ normal)
    if not (distances > SAME_PLACE_MM).any():
        for image in members:
            yield _single(f"{key} {image.header.sop_instance_uid} {image.frame_number}", image)
        return
    usual = float(np.median(distances[distances > SAME_PLACE_MM]))
    touching = distances <= LARGEST_GAP * usual
    half = np.where(touching, distances, usual) / 2
    offsets = positions - positions[0]
    yield Stack(
        key=key,
        images=tuple(members[int(number)] for number in order),
        touching=tuple(bool(touch) for touch in touching),
        thickness=tuple(float(t) for t in np.r_[usual / 2, half] + np.r_[half, usual / 2]),
        shifts=tuple(
            (
                float(offset @ along_column) / first.spacing[0],
                float(offset @ along_row) / first.spacing[1],
            )
            for offset in offsets
        ),
    )


def _single(key: str, image: ImageReading) -> Stack:
    return Stack(key, (image,), (), (), ((0.0, 0.0),))


def _position(image: ImageReading) -> tuple[float, ...]:
    return (0.0, 0.0, 0.0) if image.plane is None else image.plane.position


def _cosines(
    orientation: Sequence[float],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    axes = np.asarray(orientation, dtype=np.float64)
    return axes[:3], axes[3:]
