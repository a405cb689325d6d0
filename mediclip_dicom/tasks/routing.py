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
        excluded_series: patterns over it of series that are left out on purpose, as in "*MIP*".

    Text is compared without regard to case.
    """

    modality: str
    body_part: str | None = None
    view: str | None = None
    series_description: str | None = None
    excluded_series: tuple[str, ...] = ()

    def matches(self, header: ImageHeader) -> bool:
        """Whether the task reads this image."""
        return self._fits(header) and self._exclusion(header) is None

    def exclusion(self, header: ImageHeader) -> str | None:
        """Return the pattern by which an image is left out that the task would read without it."""
        return self._exclusion(header) if self._fits(header) else None

    def _exclusion(self, header: ImageHeader) -> str | None:
        return next((p for p in self.excluded_series if _like(p, header.series_description)), None)

    def _fits(self, header: ImageHeader) -> bool:
        return (
            _same(self.modality, header.modality)
            and (self.body_part is None or _same(self.body_part, header.body_part))
            and (self.view is None or _same(self.view, header.view_position))
            and (
                self.series_description is None
                or _like(self.series_description, header.series_description)
            )
        )

    def __str__(self) -> str:
        conditions = {
            "body part": self.body_part,
            "view": self.view,
            "series": self.series_description,
            "without series": ", ".join(self.excluded_series),
        }
        return ", ".join([self.modality, *(f"{k} {v}" for k, v in conditions.items() if v)])


def first_match(routes: Iterable[tuple[Route, T]], header: ImageHeader) -> T | None:
    """Return the target of the first route that matches the image."""
    return next((target for route, target in routes if route.matches(header)), None)


def _like(pattern: str, found: str | None) -> bool:
    return fnmatch.fnmatchcase((found or "").casefold(), pattern.casefold())


def _same(wanted: str, found: str | None) -> bool:
    return found is not None and wanted.strip().casefold() == found.strip().casefold()
