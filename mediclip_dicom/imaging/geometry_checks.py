"""Geometry checks: images whose headers contradict themselves or each other.

An overlay on them could be anywhere, so they are left out with the reason, and the rest of the
study is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from mediclip_dicom.imaging.header import ImageHeader
from mediclip_dicom.imaging.planes import SLICE_SOP_CLASSES

SAME_PLACE = (
    "contradictory header: the position of another image of its series, and nothing that tells the "
    "two apart"
)

_COSINE_DIGITS = 2
_POSITION_DIGITS = 2  # a hundredth of a millimetre


def find_contradictions(headers: Iterable[ImageHeader]) -> Mapping[tuple[str, int], str]:
    """Find frames whose position in the patient can't be trusted.

    Checked are the header's own plane (see `imaging.planes`), and in the slices of one stack
    (series, frame of reference, orientation) grids that differ from the grid of most of them, and
    positions that occur twice without an echo, phase, direction or the like to distinguish the
    images. A time distinguishes them where most positions of the stack occur more than once.

    Returns:
        Reasons, without patient data, by (SOP Instance UID, frame number from 1).
    """
    reasons: dict[tuple[str, int], str] = {}
    stacks: dict[tuple[object, ...], list[ImageHeader]] = defaultdict(list)
    for header in headers:
        for frame, reason in header.contradictions:
            reasons[header.sop_instance_uid, frame] = reason
        if header.sop_class_uid in SLICE_SOP_CLASSES and (plane := header.planes[0]) is not None:
            cosines = tuple(round(value, _COSINE_DIGITS) for value in plane.orientation)
            stack = (header.series_instance_uid, header.frame_of_reference_uid, cosines)
            stacks[stack].append(header)
    for slices in stacks.values():
        for header, reason in (*_other_grids(slices), *_shared_places(slices)):
            reasons.setdefault((header.sop_instance_uid, 1), reason)
    return reasons


def _other_grids(stack: list[ImageHeader]) -> Iterable[tuple[ImageHeader, str]]:
    """Find the images whose grid differs from the grid of most of the stack."""
    grids = Counter((header.rows, header.columns) for header in stack)
    grid, count = grids.most_common(1)[0]
    common = grid if 2 * count > len(stack) else None
    for header in stack:
        if (header.rows, header.columns) != common:
            yield (
                header,
                f"contradictory header: {header.rows} rows and {header.columns} columns, other "
                "slices of its series have another number",
            )


def _shared_places(stack: list[ImageHeader]) -> Iterable[tuple[ImageHeader, str]]:
    places: dict[tuple[object, ...], list[ImageHeader]] = defaultdict(list)
    for header in stack:
        if (plane := header.planes[0]) is not None:
            places[(*rounded_position(plane.position), header.repetition)].append(header)
    if _most_places_repeat(places):
        # A dynamic series or the like; a single slice at a wrong place has its own time as well.
        places = _by_time(places)
    for sharing in places.values():
        if _is_shared(sharing):
            yield from ((header, SAME_PLACE) for header in sharing)


def _most_places_repeat(places: Mapping[tuple[object, ...], list[ImageHeader]]) -> bool:
    shared = sum(_is_shared(sharing) for sharing in places.values())
    return 2 * shared >= len(places)


def _by_time(
    places: Mapping[tuple[object, ...], list[ImageHeader]],
) -> dict[tuple[object, ...], list[ImageHeader]]:
    found: dict[tuple[object, ...], list[ImageHeader]] = defaultdict(list)
    for place, sharing in places.items():
        for header in sharing:
            found[(*place, header.times)].append(header)
    return found


def _is_shared(sharing: list[ImageHeader]) -> bool:
    return len({header.sop_instance_uid for header in sharing}) > 1


def rounded_position(position: tuple[float, ...]) -> tuple[float, ...]:
    """Round a position in mm, so that equal places compare equal."""
    # Adding zero makes a negative zero a positive one.
    return tuple(round(value, _POSITION_DIGITS) + 0.0 for value in position)
