"""Stacks: the frames of a series in their order along the slice normal, with gaps and tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mediclip_dicom.imaging import plane_cosines, stack_frames
from mediclip_dicom.results.reading import ImageReading


@dataclass(frozen=True, slots=True)
class Stack:
    """Scored frames with one grid and orientation in one frame of reference, or a single frame.

    Attributes:
        key: names the stack within its reading, the same at every repeat.
        images: in the order along the slice normal, whatever the order of the files.
        touching: for each frame but the last, whether the next is near enough to share a region.
        thin: for each frame but the last, whether the next is so near that the study score averages
            their maps.
        thickness: mm along the normal that each frame stands for: half of the way to either
            neighbour, at an end or a gap half of the median distance; empty for a single frame.
        shifts: (row, column) offset of each frame's first pixel from that of the first frame within
            the plane, in pixels: a tilted gantry shears the stack.
    """

    key: str
    images: tuple[ImageReading, ...]
    touching: tuple[bool, ...]
    thin: tuple[bool, ...]
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
        along_row, along_column = plane_cosines(plane.orientation)
        place = (
            np.asarray(plane.position, dtype=np.float64)
            + along_row * plane.spacing[1] * column
            + along_column * plane.spacing[0] * row
        )
        return float(place[0]), float(place[1]), float(place[2])


def stacks_of(images: Sequence[ImageReading]) -> tuple[Stack, ...]:
    """Sort the scored frames of a reading into stacks; frames that were not scored are gaps."""
    scored = [image for image in images if image.map is not None]
    return tuple(
        Stack(
            key=stack.key,
            images=tuple(scored[index] for index in stack.order),
            touching=stack.touching,
            thin=stack.thin,
            thickness=stack.thickness,
            shifts=stack.shifts,
        )
        for stack in stack_frames(scored)
    )
