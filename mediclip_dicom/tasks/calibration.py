"""Calibration of a task version: its rule, its folds, and the normal study that decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from ai_core import OperatingPoint, deciding_normal

if TYPE_CHECKING:
    from ai_core import CalibratedFit
    from mediclip_dicom.tasks.support import SupportSet

Rule = Literal["counting", "tail"]


@dataclass(frozen=True, slots=True)
class DecidingStudy:
    """Normal study without which the operating point would move most, by its highest image.

    Attributes:
        number: its place among the normal studies in the order that they were read, from 1; a file
            name is not kept, since it may hold a patient's.
        study: Study Instance UID, or the digest of a picture file.
        image: SOP Instance UID of its highest image, or the digest again.
        frame: frame of that image, from 1.
        score: score of the study.
        gap: its score less that of the next lower normal study.
        threshold_without: operating point of the other normals; None where they can't promise the
            rate.
    """

    number: int
    study: str
    image: str
    frame: int
    score: float
    gap: float
    threshold_without: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Making of a version's operating point.

    Attributes:
        rule: "tail", or "counting" for a version that was calibrated before 0.2.
        folds: folds, and so heads, of the cross-fit; None where it was not recorded.
        extrapolated: the rate asked for is below 1 / (k + 1), which counting could not promise.
        deciding: the normal study that decides the operating point; None where it was not
            recorded, or where there is none.
        smoothed: the study score is the highest pixel of the maps smoothed along the series; else
            it is the highest image score.
    """

    rule: Rule
    folds: int | None = None
    extrapolated: bool = False
    deciding: DecidingStudy | None = None
    smoothed: bool = False

    @property
    def outdated(self) -> bool:
        """True for a version of an earlier rule, which a new registration would improve."""
        return self.rule == "counting" or not self.smoothed

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> Calibration:
        """Restore `to_dict`; None is a version of 0.1.0, whose rule was counting."""
        if values is None:
            return cls("counting")
        deciding = values.get("deciding")
        return cls(
            rule=values["rule"],
            folds=values.get("folds"),
            extrapolated=values.get("extrapolated", False),
            deciding=None if deciding is None else DecidingStudy(**deciding),
            smoothed=values.get("smoothed", False),
        )


def describe_calibration(
    fit: CalibratedFit, point: OperatingPoint, support: SupportSet
) -> Calibration:
    """Record how a fit was calibrated, and name the normal study that decides."""
    deciding = deciding_normal(point)
    named = None
    if deciding is not None:
        normal = fit.normals[deciding.index]
        study, image, frame = support.image_at(normal.study, normal.image)
        named = DecidingStudy(
            number=normal.study + 1,
            study=study,
            image=image,
            frame=frame,
            score=deciding.score,
            gap=deciding.gap,
            threshold_without=deciding.threshold_without,
        )
    return Calibration(
        rule=point.rule,
        folds=fit.folds,
        extrapolated=point.threshold_extrapolated,
        deciding=named,
        smoothed=True,
    )
