"""Stacks: the frames of a series in their order along the slice normal, with gaps and tilt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mediclip_dicom.imaging import FrameStack, plane_cosines, stack_frames
from mediclip_dicom.results.reading import ImageReading


@dataclass(frozen=True, slots=True)
class Stack(FrameStack):
    """Scored frames of a reading with one grid and orientation, or a single frame.

    Attributes:
        images: the frames themselves, in their order along the slice normal.
    """

    images: tuple[ImageReading, ...]

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
            stack.key,
            stack.order,
            stack.touching,
            stack.thin,
            stack.thickness,
            stack.shifts,
            images=tuple(scored[index] for index in stack.order),
        )
        for stack in stack_frames(scored)
    )
