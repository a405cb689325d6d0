"""Stacks: the frames of a series in their order along the slice normal, with gaps and tilt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mediclip_dicom.imaging.geometry_checks import rounded_position
from mediclip_dicom.imaging.header import ImageHeader
from mediclip_dicom.imaging.planes import ENHANCED_SOP_CLASSES, Plane
from mediclip_dicom.imaging.volumes import VolumeFrame, number_volumes

LARGEST_GAP = 2.5
"""Distance across which neighbours still touch, in median distances: one missing slice is bridged,
two are not."""

THIN_MM = 3.0
"""Distance up to which the maps of neighbours are averaged for the study score: a lesion is in
several thin slices, but maybe in one thick slice alone."""

SAME_PLACE_MM = 0.01
"""Distance along the normal at which two frames are in the same place."""


class PlacedFrame(Protocol):
    """Frame of an image, with its plane in a frame of reference if it has one."""

    @property
    def header(self) -> ImageHeader:
        """Header of the image."""

    @property
    def frame_number(self) -> int:
        """Frame number, from 1."""

    @property
    def plane(self) -> Plane | None:
        """Plane of the frame; None where it has no place in a frame of reference."""


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Frame of an image by its header alone.

    Attributes:
        header: of the image.
        frame_number: from 1.
    """

    header: ImageHeader
    frame_number: int

    @property
    def plane(self) -> Plane | None:
        """Plane of the frame; None where it has no place in a frame of reference."""
        if self.header.frame_of_reference_uid is None or not self.header.planes:
            return None
        return self.header.planes[self.frame_number - 1]


@dataclass(frozen=True, slots=True)
class FrameStack:
    """Frames with one grid and orientation in one frame of reference, or a single frame.

    Attributes:
        key: names the stack within its study, the same at every repeat.
        order: index of each frame, along the slice normal, whatever the order of the files.
        touching: for each frame but the last, whether the next is near enough to share a region.
        thin: for each frame but the last, whether the next is so near that their maps are averaged.
        thickness: mm along the normal that each frame stands for: half of the way to either
            neighbour, at an end or a gap half of the median distance; empty for a single frame.
        shifts: (row, column) offset of each frame's first pixel from that of the first frame within
            the plane, in pixels: a tilted gantry shears the stack.
    """

    key: str
    order: tuple[int, ...]
    touching: tuple[bool, ...]
    thin: tuple[bool, ...]
    thickness: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...]


def stack_frames(frames: Sequence[PlacedFrame]) -> tuple[FrameStack, ...]:
    """Sort frames into stacks; frames that are missing are gaps.

    Args:
        frames: of one study.
    """
    stacks: list[FrameStack] = []
    for key, members in group_frames(frames).items():
        stacks += _stacks(key, members, frames)
    return tuple(stacks)


def group_frames(frames: Sequence[PlacedFrame]) -> dict[str, list[int]]:
    """Group frames that can share a multi-frame result, by a repeatable key.

    Slices of one series, frame of reference, orientation and grid form a group, in the order
    given; frames of an enhanced image likewise. Echoes, phases, directions and times have the same
    positions, and each volume is a group of its own (see `imaging.volumes`). An image without a
    position in a frame of reference is alone.

    Returns:
        Indices of the frames of each group.
    """
    whole: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        whole.setdefault(_key(frame), []).append(index)
    groups: dict[str, list[int]] = {}
    for key, members in whole.items():
        numbers = number_volumes([_volume_frame(frames[index]) for index in members])
        for index, number in zip(members, numbers, strict=True):
            groups.setdefault(key if number == 1 else f"{key} repeat {number}", []).append(index)
    return groups


def count_volumes(frames: Sequence[PlacedFrame]) -> dict[str, int]:
    """Count the volumes of each series that repeats its positions, by Series Instance UID."""
    counts: dict[str, int] = {}
    for key, members in group_frames(frames).items():
        number = int(key.rpartition(" repeat ")[2]) if " repeat " in key else 1
        series_uid = frames[members[0]].header.series_instance_uid
        counts[series_uid] = max(number, counts.get(series_uid, 1))
    return {series_uid: count for series_uid, count in counts.items() if count > 1}


def _volume_frame(frame: PlacedFrame) -> VolumeFrame:
    plane = frame.plane
    return VolumeFrame(frame.header, None if plane is None else rounded_position(plane.position))


def plane_cosines(
    orientation: Sequence[float],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the directions along a row and along a column, each of shape (3,)."""
    axes = np.asarray(orientation, dtype=np.float64)
    return axes[:3], axes[3:]


def _key(frame: PlacedFrame) -> str:
    header, plane = frame.header, frame.plane
    if plane is None:
        return f"{header.sop_instance_uid} {frame.frame_number}"
    whole = header.series_instance_uid
    if header.sop_class_uid in ENHANCED_SOP_CLASSES:
        whole = header.sop_instance_uid
    grid = (header.rows, header.columns, plane.spacing, plane.orientation)
    return f"{whole} {header.frame_of_reference_uid} {grid}"


def _stacks(
    key: str, members: Sequence[int], frames: Sequence[PlacedFrame]
) -> Iterator[FrameStack]:
    """Make the stack of a group, or one of each frame where no two have a distance."""
    first = frames[members[0]].plane
    if first is None or len(members) == 1:
        yield _single(key, members[0])
        return
    along_row, along_column = plane_cosines(first.orientation)
    normal = np.cross(along_row, along_column)
    positions = np.array([_position(frames[member]) for member in members])
    order = np.argsort(positions @ normal, kind="stable")
    positions = positions[order]
    distances = np.diff(positions @ normal)
    if not (distances > SAME_PLACE_MM).any():
        for member in members:
            header = frames[member].header
            yield _single(f"{key} {header.sop_instance_uid} {frames[member].frame_number}", member)
        return
    usual = float(np.median(distances[distances > SAME_PLACE_MM]))
    touching = distances <= LARGEST_GAP * usual
    half = np.where(touching, distances, usual) / 2
    offsets = positions - positions[0]
    yield FrameStack(
        key=key,
        order=tuple(members[int(number)] for number in order),
        touching=tuple(bool(touch) for touch in touching),
        thin=tuple(bool(near) for near in touching & (distances <= THIN_MM + SAME_PLACE_MM)),
        thickness=tuple(float(t) for t in np.r_[usual / 2, half] + np.r_[half, usual / 2]),
        shifts=tuple(
            (
                float(offset @ along_column) / first.spacing[0],
                float(offset @ along_row) / first.spacing[1],
            )
            for offset in offsets
        ),
    )


def _single(key: str, member: int) -> FrameStack:
    return FrameStack(key, (member,), (), (), (), ((0.0, 0.0),))


def _position(frame: PlacedFrame) -> tuple[float, ...]:
    return (0.0, 0.0, 0.0) if frame.plane is None else frame.plane.position
