"""Volumes of a series: frames at the same positions, by the attributes that distinguish them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mediclip_dicom.imaging.header import ImageHeader


@dataclass(frozen=True, slots=True)
class VolumeFrame:
    """Frame of a stack that may repeat its positions.

    Attributes:
        header: of its image.
        place: its position, so that equal ones compare equal; None without a position.
    """

    header: ImageHeader
    place: Hashable | None


def number_volumes(frames: Sequence[VolumeFrame]) -> list[int]:
    """Number the volume of each frame from 1, in the order of their first frames.

    Frames at one position belong to different volumes. They are grouped by the one attribute that
    keeps positions from repeating, else by as many as help; what these leave together is sorted by
    time and instance number.

    Args:
        frames: of one series, orientation and grid.
    """
    most = max(Counter(f.place for f in frames if f.place is not None).values(), default=1)
    if most == 1:
        return [1] * len(frames)
    keys = _keys(frames, most=most)
    ranks = _ranks(frames, keys)
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault((key, rank), len(numbers) + 1)
        for key, rank in zip(keys, ranks, strict=True)
    ]


def repeats(places: Sequence[Hashable | None], keys: Sequence[Hashable]) -> int:
    """Count the frames that share place and key with an earlier one."""
    seen = Counter(
        (place, key) for place, key in zip(places, keys, strict=True) if place is not None
    )
    return sum(count - 1 for count in seen.values())


def _keys(frames: Sequence[VolumeFrame], *, most: int) -> list[Hashable]:
    """Return for each frame the values of the attributes that separate the volumes."""
    places = [frame.place for frame in frames]
    # An attribute with more values than there are volumes varies from slice to slice.
    columns = [column for column in _columns(frames) if 1 < len(set(column)) <= most]
    whole = [column for column in columns if not repeats(places, column)]
    if whole:
        return list(min(whole, key=lambda column: len(set(column))))
    keys: list[Hashable] = [()] * len(frames)
    left = repeats(places, keys)
    for column in columns:
        refined: list[Hashable] = list(zip(keys, column, strict=True))
        if (now := repeats(places, refined)) < left:
            keys, left = refined, now
    return keys


def _columns(frames: Sequence[VolumeFrame]) -> list[list[str]]:
    """Return the values of each distinguishing attribute; rows of older releases have fewer."""
    rows = [(*frame.header.repetition, *frame.header.times) for frame in frames]
    return [list(column) for column in zip(*rows, strict=True)] if _even(rows) else []


def _even(rows: Sequence[Sequence[str]]) -> bool:
    return len({len(row) for row in rows}) == 1


def _ranks(frames: Sequence[VolumeFrame], keys: Sequence[Hashable]) -> list[int]:
    """Number the frames that share place and key, from 1, by time and instance number."""
    sharing: dict[Hashable, list[int]] = defaultdict(list)
    for index, (frame, key) in enumerate(zip(frames, keys, strict=True)):
        if frame.place is not None:
            sharing[frame.place, key].append(index)
    ranks = [1] * len(frames)
    for members in sharing.values():
        ordered = sorted(members, key=lambda index: _moment(frames[index].header))
        for rank, index in enumerate(ordered, start=1):
            ranks[index] = rank
    return ranks


def _moment(header: ImageHeader) -> tuple[tuple[float, ...], int]:
    return tuple(_number(value) for value in header.times), header.instance_number or 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
