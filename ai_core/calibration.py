"""Calibration: scores of the support set by detectors that never saw them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.detector import Detector, describe_fit
from ai_core.errors import CalibrationError
from ai_core.fitting import (
    FitProgress,
    Progress,
    encode_all,
    make_pool,
    silent,
    train_on_pool,
    train_on_stream,
)
from ai_core.images import check_support
from ai_core.operating_point import (
    Aggregate,
    OperatingPoint,
    Verdict,
    aggregate,
    normals_needed,
)
from ai_core.pool import Pool
from ai_core.presets import DEFAULT, Preset

__all__ = [
    "Aggregate",
    "CalibratedFit",
    "OperatingPoint",
    "Verdict",
    "aggregate",
    "cross_fit",
    "fit_calibrated",
    "normals_needed",
]


@dataclass(frozen=True, slots=True)
class CalibratedFit:
    """A detector with what its operating point is made from.

    Attributes:
        detector: fitted on all images.
        normal_scores: one study score per group, each by a detector that never saw the group.
    """

    detector: Detector
    normal_scores: tuple[float, ...]


def cross_fit(
    images: Tensor,
    groups: Sequence[int],
    *,
    backbone: Backbone,
    preset: Preset = DEFAULT,
    folds: int = 2,
    generator: torch.Generator,
    progress: Progress | None = None,
    method: Aggregate = "max",
) -> tuple[float, ...]:
    """Score every study of a support set by a detector that was fitted without its fold.

    Args:
        images: normal images of all studies, float32 in [0, 1], shape (n, 3, 224, 224).
        groups: study index of each image; studies are the exchangeable units.
        backbone: the frozen towers.
        preset: as for the final fit.
        folds: number of folds, at least 2; images of one study never part.
        generator: the source of every draw.
        progress: told now and then.
        method: how image scores become a study score.

    Returns:
        One score per study, in ascending order of the study index.

    Raises:
        CalibrationError: fewer than 2 folds, or too few studies for them.
        ImageInputError, SupportSetError: as `Detector.fit`.
    """
    plan = _Plan.make(images, groups, folds=folds, backbone=backbone, generator=generator)
    pool = _pool(plan, backbone, preset, generator, progress or silent)
    return _fold_scores(plan, pool, backbone, preset, generator, progress or silent, method)


def fit_calibrated(
    images: Tensor,
    groups: Sequence[int],
    *,
    backbone: Backbone,
    preset: Preset = DEFAULT,
    folds: int = 2,
    generator: torch.Generator,
    progress: Progress | None = None,
    method: Aggregate = "max",
) -> CalibratedFit:
    """Fit the final detector and cross-fit its normals on one shared pool of features.

    The synthetic images of a fold take nothing from another fold, so leaving a fold's part of
    the pool out leaves out every trace of its studies, and no image passes the frozen tower
    twice. Arguments and errors as `cross_fit`.
    """
    report = progress or silent
    plan = _Plan.make(images, groups, folds=folds, backbone=backbone, generator=generator)
    pool = _pool(plan, backbone, preset, generator, report)
    scores = _fold_scores(plan, pool, backbone, preset, generator, report, method)
    detector = _fit_part(plan, pool, None, backbone, preset, generator, _named(report, "train"))
    return CalibratedFit(detector=detector, normal_scores=scores)


@dataclass(frozen=True, slots=True)
class _Plan:
    images: Tensor
    groups: Tensor
    folds: Tensor
    count: int
    tokens: Tensor

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
            images=images.cpu(),
            groups=torch.tensor(list(groups)),
            folds=torch.tensor([fold_of[group] for group in groups]),
            count=folds,
            tokens=encode_all(images, backbone=backbone),
        )


def _pool(
    plan: _Plan, backbone: Backbone, preset: Preset, generator: torch.Generator, progress: Progress
) -> Pool | None:
    if not preset.training.pool_images:
        return None
    return make_pool(
        plan.images,
        folds=plan.folds,
        backbone=backbone,
        preset=preset,
        generator=generator,
        progress=progress,
    )


def _fit_part(
    plan: _Plan,
    pool: Pool | None,
    held_out: int | None,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress,
) -> Detector:
    """A detector fitted on every fold but one, or on all of them."""
    kept = plan.folds != held_out if held_out is not None else plan.folds >= 0
    images = plan.images[kept]
    tokens = plan.tokens[kept]
    if pool is None:
        head = train_on_stream(
            images,
            normal_tokens=tokens,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
        )
    else:
        head = train_on_pool(
            pool if held_out is None else pool.without(held_out),
            normal_tokens=tokens,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
        )
    info = describe_fit(images, backbone=backbone, preset=preset, generator=generator)
    return Detector(head, backbone=backbone, info=info)


def _fold_scores(
    plan: _Plan,
    pool: Pool | None,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress,
    method: Aggregate,
) -> tuple[float, ...]:
    by_study: dict[int, float] = {}
    for fold in range(plan.count):
        report = _named(progress, f"cross-fit {fold + 1}/{plan.count}")
        detector = _fit_part(plan, pool, fold, backbone, preset, generator, report)
        held = plan.folds == fold
        scores = detector.score_tokens(plan.tokens[held]).scores
        studies = plan.groups[held]
        for study in sorted(set(studies.tolist())):
            by_study[study] = aggregate(scores[studies == study].tolist(), method=method)
    return tuple(by_study[study] for study in sorted(by_study))


def _named(progress: Progress, stage: str) -> Progress:
    def report(state: FitProgress) -> None:
        progress(FitProgress(stage, state.step, state.steps, state.loss))

    return report
