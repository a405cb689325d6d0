"""Purpose of an image: localizers, dose reports and screen saves are no part of the examination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mediclip_dicom.imaging.header import ImageHeader
from mediclip_dicom.imaging.planes import PLACED_SOP_CLASSES, Plane

_SECONDARY_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"

_DERIVED_SECONDARY = ("DERIVED", "SECONDARY")

_SAME_ORIENTATION = 0.7
"""Least cosine between normals, 45 degrees: tilted and oblique stacks are still axial."""

_SCOUTS = ("topogram", "scout", "localizer", "localiser", "surview", "scanogram")

_BY_IMAGE_TYPE = {
    "LOCALIZER": "localizer",
    "SCOUT": "localizer",
    "DOSE_INFO": "dose report",
    "DOSE": "dose report",
    "SCREEN SAVE": "screen save",
    "SCREENSAVE": "screen save",
}


@dataclass(frozen=True, slots=True)
class SupportKinds:
    """Kinds of image that a support set held; what is unlike all of them is no part of a study.

    Attributes:
        sop_classes: SOP classes.
        image_types: values 1 and 2 of Image Type, as in ("ORIGINAL", "PRIMARY").
        normals: normals of the image planes, rounded; none for images without a plane.
    """

    sop_classes: tuple[str, ...] = ()
    image_types: tuple[tuple[str, ...], ...] = ()
    normals: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, headers: Iterable[ImageHeader]) -> SupportKinds:
        """Collect the kinds of images."""
        headers = tuple(headers)
        normals = {_normal(plane) for header in headers for plane in header.planes if plane}
        return cls(
            tuple(sorted({header.sop_class_uid for header in headers})),
            tuple(sorted({_origin(header) for header in headers})),
            tuple(sorted(normals)),
        )

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> SupportKinds:
        """Read what `to_dict` wrote."""
        return cls(
            tuple(stored["sop_classes"]),
            tuple(tuple(values) for values in stored["image_types"]),
            tuple(tuple(normal) for normal in stored["normals"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the kinds as plain values."""
        return {
            "sop_classes": list(self.sop_classes),
            "image_types": [list(values) for values in self.image_types],
            "normals": [list(normal) for normal in self.normals],
        }

    @property
    def captures(self) -> bool:
        """Whether Secondary Captures are among them."""
        return any(uid.startswith(_SECONDARY_CAPTURES) for uid in self.sop_classes)

    def unlike(self, header: ImageHeader) -> str | None:
        """Say in which way an image is unlike all of them; None where it is not."""
        if not self.sop_classes:
            return None
        if header.sop_class_uid.startswith(_SECONDARY_CAPTURES) and not self.captures:
            return "Secondary Capture, of which the support set holds none"
        origin = _origin(header)
        if origin == _DERIVED_SECONDARY and origin not in self.image_types:
            return "derived secondary image, of which the support set holds none"
        planes = [plane for plane in header.planes if plane is not None]
        if planes and self.normals and not any(map(self._parallel, planes)):
            return "an orientation of which the support set holds none"
        return None

    def _parallel(self, plane: Plane) -> bool:
        own = _normal(plane)
        return any(
            abs(sum(a * b for a, b in zip(own, normal, strict=True))) >= _SAME_ORIENTATION
            for normal in self.normals
        )


def not_examination(
    headers: Iterable[ImageHeader], *, kinds: SupportKinds | None = None
) -> Mapping[str, str]:
    """Find the images that only help an examination, by what their headers say of themselves.

    Localizers are known by Image Type (PS3.3 C.8.2.1.1.1: value 3 of a CT; MR likewise); dose
    reports and screen saves by Image Type or, among Secondary Captures, by the Series Description.
    Secondary Captures among slices are no slices, and with `kinds` the rest is what the support
    set held none of: Secondary Captures, derived secondary images, other orientations.
    Where a study has nothing else, nothing is left out: a task may be made for localizers.

    Args:
        headers: of the images of one study that a task reads.
        kinds: kinds of image of the task's support set, where they are known.

    Returns:
        Reasons, without patient data, by SOP Instance UID.
    """
    headers = tuple(headers)
    slices = any(header.sop_class_uid in PLACED_SOP_CLASSES for header in headers)
    captures = kinds is not None and kinds.captures
    reasons: dict[str, str] = {}
    for header in headers:
        reason = _reason(header)
        if reason is None and slices and not captures and _is_capture(header):
            reason = "Secondary Capture among slices"
        if reason is None and kinds is not None:
            reason = kinds.unlike(header)
        if reason is not None:
            reasons[header.sop_instance_uid] = reason
    return {} if len(reasons) == len({header.sop_instance_uid for header in headers}) else reasons


def _reason(header: ImageHeader) -> str | None:
    # Value 1 is ORIGINAL or DERIVED, value 2 PRIMARY or SECONDARY.
    for value in header.image_type[2:]:
        if (reason := _BY_IMAGE_TYPE.get(value.strip().upper())) is not None:
            return reason
    if _is_capture(header):
        words = header.series_description.lower()
        if "dose report" in words or "dose info" in words:
            return "dose report"
        if "screen save" in words:
            return "screen save"
    elif header.modality in ("CT", "MR", "PT"):
        words = header.series_description.lower()
        if any(word in words for word in _SCOUTS):
            return "localizer"
    return None


def _is_capture(header: ImageHeader) -> bool:
    return header.sop_class_uid.startswith(_SECONDARY_CAPTURES)


def _origin(header: ImageHeader) -> tuple[str, ...]:
    """Return values 1 and 2 of Image Type in capitals."""
    return tuple(value.strip().upper() for value in header.image_type[:2])


def _normal(plane: Plane) -> tuple[float, ...]:
    """Return the normal of a plane, rounded, so that those of one scanner compare equal."""
    cosines = np.asarray(plane.orientation, dtype=np.float64)
    normal = np.cross(cosines[:3], cosines[3:])
    return tuple(round(float(value), 2) + 0.0 for value in normal)
