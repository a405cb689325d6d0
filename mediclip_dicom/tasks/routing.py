"""Routing of images to tasks."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from mediclip_dicom.imaging import ImageHeader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """Conditions on an image that a task reads; None matches anything.

    Attributes:
        modality: Modality (0008,0060), as in "MR".
        body_part: Body Part Examined (0018,0015).
        view: View Position (0018,5101).
        series_description: shell-style pattern over Series Description (0008,103E), as in "*T1*".

    Text is compared without regard to case.
    """

    modality: str
    body_part: str | None = None
    view: str | None = None
    series_description: str | None = None

    def matches(self, header: ImageHeader) -> bool:
        """Whether the task reads this image."""
        return (
            _same(self.modality, header.modality)
            and (self.body_part is None or _same(self.body_part, header.body_part))
            and (self.view is None or _same(self.view, header.view_position))
            and (
                self.series_description is None
                or fnmatch.fnmatchcase(
                    (header.series_description or "").casefold(),
                    self.series_description.casefold(),
                )
            )
        )

    def __str__(self) -> str:
        conditions = {
            "body part": self.body_part,
            "view": self.view,
            "series": self.series_description,
        }
        return ", ".join([self.modality, *(f"{k} {v}" for k, v in conditions.items() if v)])


def first_match(routes: Iterable[tuple[Route, T]], header: ImageHeader) -> T | None:
    """Return the target of the first route that matches the image."""
    return next((target for route, target in routes if route.matches(header)), None)


def _same(wanted: str, found: str | None) -> bool:
    return found is not None and wanted.strip().casefold() == found.strip().casefold()
