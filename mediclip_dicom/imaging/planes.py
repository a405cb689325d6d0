"""Image planes in a frame of reference, and contradictions in their attributes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

# One instance per slice, in a volume.
SLICE_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT Image
        "1.2.840.10008.5.1.4.1.1.4",  # MR Image
        "1.2.840.10008.5.1.4.1.1.128",  # Positron Emission Tomography Image
    }
)

# Functional groups place every frame of these.
ENHANCED_SOP_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT Image
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color Image
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR Image
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET Image
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET Image
    }
)

PLACED_SOP_CLASSES = SLICE_SOP_CLASSES | ENHANCED_SOP_CLASSES
"""Classes whose images have planes in a frame of reference."""

# Decimal strings are often cut to two or three digits; a degree of shear is never a rounding.
_ORTHONORMAL_TOLERANCE = 0.01

_PARTS = (
    ("PlanePositionSequence", "ImagePositionPatient", "Image Position (Patient)", 3),
    ("PlaneOrientationSequence", "ImageOrientationPatient", "Image Orientation (Patient)", 6),
    ("PixelMeasuresSequence", "PixelSpacing", "Pixel Spacing", 2),
)

# Attributes that distinguish images at one position: echo, phase, b-value, kernel, contrast. The
# first eleven are those of rows that earlier releases stored.
_REPETITION_KEYWORDS = (
    "ImageType",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "DiffusionBValue",
    "SequenceName",
    "ConvolutionKernel",
    "DiffusionGradientOrientation",
    "DiffusionDirectionality",
    "TemporalPositionIndex",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
    "StackID",
    "ComplexImageComponent",
    "VelocityEncodingDirection",
    "RepetitionTime",
    "KVP",
    "ReconstructionMethod",
    "ReconstructionAlgorithm",
    "FilterType",
    "ContrastBolusAgent",
    "ActualFrameDuration",
)

# b-value and gradient direction where a manufacturer has them in private elements only.
_DIRECTION = _REPETITION_KEYWORDS.index("DiffusionGradientOrientation")
_LONGEST_VALUE = 128

_PRIVATE_REPETITION = (
    (0x0019, 0x100C),  # Siemens
    (0x0019, 0x100E),
    (0x0043, 0x1039),  # GE
    (0x2001, 0x1003),  # Philips
    (0x2005, 0x10B0),
    (0x2005, 0x10B1),
    (0x2005, 0x10B2),
)

# Moments of an image. Those of the slices of one volume may differ as well.
_TIME_KEYWORDS = (
    "FrameReferenceTime",
    "AcquisitionDateTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContentDate",
    "ContentTime",
)


def plane_attribute(dataset: Dataset, sequence: str, keyword: str, *, frame_index: int) -> Any:
    """Return an attribute of a frame's plane, of the root or of its functional groups."""
    if (value := dataset.get(keyword)) is not None:
        return value
    for groups in functional_groups(dataset, frame_index):
        if (item := first_item(groups, sequence)) is not None and keyword in item:
            return item[keyword].value
    return None


def first_item(dataset: Dataset, keyword: str) -> Dataset | None:
    """Return the first item of a sequence, or `None` where it is absent or empty."""
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def functional_groups(dataset: Dataset, frame_index: int) -> tuple[Dataset, ...]:
    """Return a frame's functional groups, per-frame before shared (PS3.3 C.7.6.16)."""
    groups: list[Dataset] = []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    if per_frame and frame_index < len(per_frame):
        groups.append(per_frame[frame_index])
    if (shared := first_item(dataset, "SharedFunctionalGroupsSequence")) is not None:
        groups.append(shared)
    return tuple(groups)


def repetition(dataset: Dataset) -> tuple[str, ...]:
    """Return the attributes that distinguish images of one series at the same position."""
    values = [dataset.get(keyword) for keyword in _REPETITION_KEYWORDS]
    values += [dataset[tag].value if tag in dataset else None for tag in _PRIVATE_REPETITION]
    if values[_DIRECTION] is None and (diffusion := first_item(dataset, "MRDiffusionSequence")):
        gradient = first_item(diffusion, "DiffusionGradientDirectionSequence")
        values[_DIRECTION] = (gradient or diffusion).get("DiffusionGradientOrientation")
    return tuple(str("" if value is None else value)[:_LONGEST_VALUE] for value in values)


def times(dataset: Dataset) -> tuple[str, ...]:
    """Return the moments of an image: reference time, acquisition, content."""
    return tuple(str(dataset.get(keyword) or "") for keyword in _TIME_KEYWORDS)


@dataclass(frozen=True, slots=True)
class Plane:
    """Image plane of one frame in its frame of reference (PS3.3 C.7.6.2).

    Attributes:
        position: (x, y, z) of the centre of the first voxel in mm.
        orientation: row and column cosines.
        spacing: (between rows, between columns) in mm.
    """

    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]


def planes_of(dataset: Dataset) -> tuple[tuple[Plane | None, ...], tuple[tuple[int, str], ...]]:
    """Return the planes of an image's frames, and the contradictions in them.

    Only classes that have planes are looked at: a radiograph is read without any.

    Returns:
        A plane for each frame, `None` where there is none, or nothing at all for a class without;
        and the frames (from 1) whose plane can't be what the header says, with the reason.
    """
    if str(dataset.get("SOPClassUID", "")) not in PLACED_SOP_CLASSES:
        return (), ()
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    found = [_plane(dataset, index) for index in range(frames)]
    planes = tuple(None if isinstance(plane, str) else plane for plane in found)
    faults = tuple((n, fault) for n, fault in enumerate(found, start=1) if isinstance(fault, str))
    return planes, faults


def _plane(dataset: Dataset, index: int) -> Plane | str | None:
    """Return a frame's plane, or its contradiction, or `None` where a part of it is absent."""
    parts: list[tuple[float, ...]] = []
    absent = False
    for sequence, keyword, name, count in _PARTS:
        value = plane_attribute(dataset, sequence, keyword, frame_index=index)
        if value is None or (hasattr(value, "__len__") and len(value) == 0):
            absent = True
            continue
        numbers = _numbers(value, count)
        if numbers is None:
            return f"contradictory header: {name} is not {count} numbers"
        if keyword == "ImageOrientationPatient" and not _is_orthonormal(numbers):
            return (
                f"contradictory header: the row and column of {name} are not unit vectors at "
                "right angles"
            )
        if keyword == "PixelSpacing" and min(numbers) <= 0:
            return f"contradictory header: {name} is not above zero"
        parts.append(numbers)
    return None if absent else Plane(*parts)


def _is_orthonormal(orientation: tuple[float, ...]) -> bool:
    axes = np.reshape(orientation, (2, 3))
    return bool(np.allclose(axes @ axes.T, np.eye(2), rtol=0, atol=_ORTHONORMAL_TOLERANCE))


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None
