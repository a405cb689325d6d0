"""The interface of a method, and MediCLIP under a preset."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.detector import Detector, fit_calibrated
from ai_core.fitting import MOST_FOLDS, choose_folds
from ai_core.images import Mode
from ai_core.operating_point import Rule
from ai_core.presets import Preset
from ai_core.progress import Progress
from ai_core.scope import ImageFacts


@dataclass(frozen=True, slots=True)
class Scored:
    """A method's maps and scores of N images; the higher, the more anomalous.

    Attributes:
        maps: float32 on the CPU, shape (N, 224, 224), on the detector's input.
        scores: image scores, float32 on the CPU, shape (N,).
    """

    maps: Tensor
    scores: Tensor


class Fitted(Protocol):
    """A method after its fit."""

    @property
    def normal_scores(self) -> tuple[float, ...] | None:
        """Cross-fitted score of each support unit; None if not available."""

    @property
    def rule(self) -> Rule:
        """Rule that makes p-values of the normal scores."""

    def score(self, tokens: Tensor) -> Scored:
        """Score images from their patch tokens, shape (N, blocks, patches, width)."""

    def in_scope(self, facts: ImageFacts) -> Tensor:
        """Return which images are in scope, bool, shape (N,)."""


class Method(Protocol):
    """A way to find anomalies on a frozen backbone's patch tokens."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def geometry(self) -> Mode:
        """Geometry that brings pictures to the detector's input."""

    @property
    def preset_name(self) -> str | None:
        """Name of the preset that it was made from, or None."""

    @property
    def fits(self) -> bool:
        """True if it takes a support set."""

    def describe(self) -> dict[str, Any]:
        """Return every choice that its figures depend on, as plain values."""

    def fit(
        self,
        images: Tensor,
        units: Sequence[int],
        *,
        backbone: Backbone,
        generator: torch.Generator,
        progress: Progress,
    ) -> Fitted:
        """Fit on k normal images, (k, 3, 224, 224), each of the given exchangeable unit."""


@dataclass(frozen=True, slots=True)
class Mediclip:
    """MediCLIP under a preset, with cross-fitted scores of its own normals.

    Attributes:
        preset: every choice of the detector.
        folds: of the cross-fit at most; 0 leaves it out, and with it the operating point.
    """

    preset: Preset
    folds: int = MOST_FOLDS
    name: str = "mediclip"
    fits: bool = True

    @property
    def geometry(self) -> Mode:
        """Geometry of the preset."""
        return self.preset.geometry

    @property
    def preset_name(self) -> str | None:
        """The preset's name."""
        return self.preset.name

    def describe(self) -> dict[str, Any]:
        """Return the preset's values and the folds."""
        return {"preset": self.preset.to_dict(), "folds": self.folds}

    def fit(
        self,
        images: Tensor,
        units: Sequence[int],
        *,
        backbone: Backbone,
        generator: torch.Generator,
        progress: Progress,
    ) -> "FittedMediclip":
        """Fit and cross-fit; a single unit is fitted without."""
        studies = len(set(units))
        if not self.folds or studies < 2:
            detector = Detector.fit(
                images,
                backbone=backbone,
                preset=self.preset,
                generator=generator,
                progress=progress,
            )
            return FittedMediclip(detector=detector, normal_scores=None)
        fit = fit_calibrated(
            images,
            units,
            backbone=backbone,
            preset=self.preset,
            folds=choose_folds(studies, most=self.folds),
            generator=generator,
            progress=progress,
        )
        return FittedMediclip(detector=fit.detector, normal_scores=fit.normal_scores)


@dataclass(frozen=True, slots=True)
class FittedMediclip:
    """A fitted detector with the scores of its normals."""

    detector: Detector
    normal_scores: tuple[float, ...] | None
    rule: Rule = "tail"

    def score(self, tokens: Tensor) -> Scored:
        """Score images from their patch tokens; see `Detector.score_tokens`."""
        maps, scores = self.detector.score_tokens(tokens)
        return Scored(maps=maps, scores=scores)

    def in_scope(self, facts: ImageFacts) -> Tensor:
        """Apply the scope guard, as the node does; see `Detector.judge_scope`."""
        return self.detector.judge_scope(facts).in_scope
