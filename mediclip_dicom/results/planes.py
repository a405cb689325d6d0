"""Planes of a result: the planes of its sources, if they have any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

from highdicom.spatial import get_volume_positions
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from mediclip_dicom.imaging import group_frames, plane_attribute
from mediclip_dicom.results.reading import ImageReading
from mediclip_dicom.results.source import SECONDARY_CAPTURE, read_source, references
from mediclip_dicom.results.source_text import share_text

_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"

# Attributes of a multi-frame image as a whole, which a single frame has not.
_WHOLE_IMAGE_KEYWORDS = (
    "NumberOfFrames",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "FrameIncrementPointer",
)

# Attributes that the frames of a stack share, and highdicom compares or takes from any of them.
_STACK_KEYWORDS = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Rows",
    "Columns",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
)


def group_by_stack(images: Iterable[ImageReading]) -> dict[str, list[ImageReading]]:
    """Group scored images that can share a multi-frame result, as `imaging.group_frames` does."""
    scored = [image for image in images if image.map is not None]
    return {
        key: [scored[index] for index in members] for key, members in group_frames(scored).items()
    }


class SourcePlanes:
    """Single-frame data sets that represent the sources of one result in highdicom.

    highdicom 0.28 wants one orientation for all frames of an enhanced image, takes all its frames
    or none, and asks every other multi-frame class for functional groups, which US and XA have
    not. Frame by frame it takes everything; `name_sources` then references the real sources.
    """

    def __init__(self, images: Sequence[ImageReading], *, stack: Sequence[ImageReading]) -> None:
        """Read the first source; the others share all of its attributes but the position.

        Args:
            images: the frames that the result holds, in its order.
            stack: all frames of their stack, which tell the distance between slices.
        """
        self._images = {_stand_in_uid(n): image for n, image in enumerate(images)}
        first = _stand_in(
            read_source(images[0].path),
            images[0],
            uid=_stand_in_uid(0),
            spacing=_slice_spacing(stack),
        )
        rest = [(uid, image) for uid, image in self._images.items() if image is not images[0]]
        self.datasets = [first, *(_at_position_of(first, image, uid=uid) for uid, image in rest)]

    def name_sources(self, result: Dataset) -> None:
        """Reference the real class, instance and frame instead of the data sets made here."""
        for item in references(result):
            image = self._images.get(str(item.ReferencedSOPInstanceUID))
            if image is None:
                continue
            item.ReferencedSOPClassUID = image.header.sop_class_uid
            item.ReferencedSOPInstanceUID = image.header.sop_instance_uid
            if image.frame_numbers is not None:
                item.ReferencedFrameNumber = image.frame_number
        for series in result.get("ReferencedSeriesSequence") or ():
            # Common Instance Reference (PS3.3 C.12.2) lists instances, each once.
            instances: dict[str, Dataset] = {}
            for item in series.ReferencedInstanceSequence:
                item.pop("ReferencedFrameNumber", None)
                instances.setdefault(item.ReferencedSOPInstanceUID, item)
            series.ReferencedInstanceSequence = list(instances.values())


def _stand_in_uid(number: int) -> str:
    return f"2.25.{number + 1}"


def _stand_in(source: Dataset, image: ImageReading, *, uid: str, spacing: float | None) -> Dataset:
    frame = Dataset()
    # Setting an attribute changes its element, which must not be the source's own.
    frame.update({element.tag: copy(element) for element in source})
    share_text(source, frame)
    plane = image.plane
    for keyword in _WHOLE_IMAGE_KEYWORDS:
        frame.pop(keyword, None)
    frame.SOPInstanceUID = uid
    if plane is None:
        frame.SOPClassUID = SECONDARY_CAPTURE
        for keyword in ("FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient"):
            frame.pop(keyword, None)
        # highdicom copies a spacing without a thickness, and then can't read its own object.
        frame.pop("PixelSpacing", None)
        return frame
    frame.SOPClassUID = _MR_IMAGE
    index = image.frame_number - 1
    for sequence, keyword in (
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
        ("PixelMeasuresSequence", "SliceThickness"),
    ):
        value = plane_attribute(source, sequence, keyword, frame_index=index)
        setattr(frame, keyword, None if value is None else value)
    if spacing is not None:
        frame.SpacingBetweenSlices = f"{spacing:.6g}"
    # Empty is allowed in a slice (type 2), yet not in a result's planes.
    frame.SliceThickness = frame.SliceThickness or frame.get("SpacingBetweenSlices") or None
    return frame


def _at_position_of(first: Dataset, image: ImageReading, *, uid: str) -> Dataset:
    """Make a minimal data set for another frame of the stack, at its own position.

    Raises:
        ValueError: the image has no plane, so it shares no stack.
    """
    if image.plane is None:
        raise ValueError("an image without a plane shares no stack")
    frame = Dataset()
    for keyword in _STACK_KEYWORDS:
        if keyword in first:
            frame.add(first[keyword])
    frame.SOPInstanceUID = uid
    frame.ImagePositionPatient = [DSfloat(x, auto_format=True) for x in image.plane.position]
    return frame


def _slice_spacing(stack: Sequence[ImageReading]) -> float | None:
    """Return the slice spacing of the whole stack; a part of it may have gaps."""
    planes = [image.plane for image in stack if image.plane is not None]
    if len(planes) < 2:
        return None
    spacing, _ = get_volume_positions(
        image_positions=[plane.position for plane in planes],
        image_orientation=planes[0].orientation,
    )
    return None if spacing is None else abs(float(spacing)) or None
