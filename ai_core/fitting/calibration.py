"""Calibration: scores of the support set by heads that never saw them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ai_core.backbone import Backbone, Encoded
from ai_core.errors import CalibrationError
from ai_core.fitting.fit import make_pool, train_head
from ai_core.fitting.support import Support, prepare_support
from ai_core.image_score import score_tokens
from ai_core.images import check_support
from ai_core.model import Head, farthest_distance
from ai_core.operating_point import Aggregate, aggregate
from ai_core.presets import Preset
from ai_core.progress import FitProgress, Progress


@dataclass(frozen=True, slots=True)
class CalibratedHead:
    """A head with the cross-fitted scores that its operating point is made from.

    Attributes:
        head: fitted on all images.
        normal_scores: one score per study, in ascending order of the study index, each by a
            head that never saw the study.
    """

    head: Head
    normal_scores: tuple[float, ...]


HeldOut = Callable[[int], Iterable[Tensor] | None]
"""Returns all images of a study by its index, in batches as `Detector.score` takes them; None where
the support set holds them all already."""


def cross_fit(
    images: Tensor,
    groups: Sequence[int],
    *,
    backbone: Backbone,
    preset: Preset,
    folds: int,
    generator: torch.Generator,
    progress: Progress,
    method: Aggregate,
    held_out: HeldOut | None,
) -> CalibratedHead:
    """Fit a head, and score every study by one fitted without its fold; see `fit_calibrated`.

    Raises:
        CalibrationError: fewer than 2 folds, or too few studies for them.
        ImageInputError, SupportSetError: as `Detector.fit`.
    """
    plan = _Plan.make(images, groups, folds=folds, backbone=backbone, generator=generator)
    fit = _Fit(plan, backbone, preset, generator, progress)
    scores, farthest = _score_studies(fit, held_out=held_out, method=method)
    return CalibratedHead(head=fit.head(None, farthest=farthest), normal_scores=scores)


@dataclass(frozen=True, slots=True)
class _Plan:
    support: Support
    folds: Tensor
    count: int

    @classmethod
    def make(
        cls,
        images: Tensor,
        groups: Sequence[int],
        *,
        folds: int,
        backbone: Backbone,
        generator: torch.Generator,
    ) -> "_Plan":
        check_support(images)
        if len(groups) != len(images):
            raise CalibrationError(f"{len(images)} images, but {len(groups)} study indices")
        studies = sorted(set(groups))
        if folds < 2 or len(studies) < folds:
            raise CalibrationError(
                f"cross-fitting in {folds} folds needs at least 2 folds and a study for each; "
                f"there are {len(studies)} studies"
            )
        turns = torch.randperm(len(studies), generator=generator) % folds
        fold_of = dict(zip(studies, turns.tolist(), strict=True))
        return cls(
            support=prepare_support(images, groups=groups, backbone=backbone),
            folds=torch.tensor([fold_of[group] for group in groups]),
            count=folds,
        )

    def studies_of(self, fold: int) -> list[int]:
        return sorted(set(self.support.groups[self.folds == fold].tolist()))


class _Fit:
    """Fits heads on parts of one support set, on one shared pool where the preset pools."""

    def __init__(
        self,
        plan: _Plan,
        backbone: Backbone,
        preset: Preset,
        generator: torch.Generator,
        progress: Progress,
    ) -> None:
        self.plan = plan
        self.backbone = backbone
        self.preset = preset
        self.generator = generator
        self.progress = progress
        self._pool = make_pool(
            plan.support,
            folds=plan.folds,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
        )

    def head(self, without: int | None, *, farthest: float = 0.0) -> Head:
        """Fit a head on every fold but one, or on all of them.

        Its scope includes a normal image at the distance ``farthest`` from other studies.
        """
        plan = self.plan
        kept = plan.folds != without if without is not None else plan.folds >= 0
        stage = "train" if without is None else f"cross-fit {without + 1}/{plan.count}"
        support = plan.support.part(kept)
        pool = self._pool
        if pool is not None and without is not None:
            pool = pool.without(without)
        head = train_head(
            support,
            pool=pool,
            backbone=self.backbone,
            preset=self.preset,
            generator=self.generator,
            progress=_named(self.progress, stage),
        )
        return replace(head, scope=head.scope.widened(farthest))


def _score_studies(
    fit: _Fit, *, held_out: HeldOut | None, method: Aggregate
) -> tuple[tuple[float, ...], float]:
    """Return a score for each study, and the largest distance of an image to other studies."""
    plan, groups = fit.plan, fit.plan.support.groups
    by_study: dict[int, float] = {}
    farthest = 0.0
    total = len(set(groups.tolist()))
    for fold in range(plan.count):
        head = fit.head(fold)
        for study in plan.studies_of(fold):
            others = plan.support.part(groups != study).encoded.embedding
            scores: list[float] = []
            for encoded in _encoded_study(fit, study, held_out):
                _, found = score_tokens(head, encoded.tokens, preset=fit.preset)
                scores += found.tolist()
                farthest = max(farthest, farthest_distance(encoded.embedding, others))
            by_study[study] = aggregate(scores, method=method)
            fit.progress(FitProgress("calibrate", len(by_study), total))
    return tuple(by_study[study] for study in sorted(by_study)), farthest


def _encoded_study(fit: _Fit, study: int, held_out: HeldOut | None) -> Iterator[Encoded]:
    batches = held_out(study) if held_out is not None else None
    if batches is None:
        yield fit.plan.support.part(fit.plan.support.groups == study).encoded
        return
    for batch in batches:
        yield fit.backbone.encode(batch)


def _named(progress: Progress, stage: str) -> Progress:
    def report(state: FitProgress) -> None:
        progress(FitProgress(stage, state.step, state.steps, state.loss))

    return report
