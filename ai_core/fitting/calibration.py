"""Cross-conformal calibration: each study is scored by the head that never saw it.

After Vovk (2015) and CV+ (Barber et al., 2021): the heads of the folds stay in the detector. A new
study is scored by all of them, on the mean of their log-odds, and held against the normals, each
scored by the one head that was fitted without it. So calibration and use share heads, patch bank,
map, image score and aggregation, and no further head is fitted on all studies.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import torch
from torch import Tensor

from ai_core.backbone import Backbone, Encoded
from ai_core.errors import CalibrationError
from ai_core.fitting.blend import with_blend
from ai_core.fitting.fit import fit_guard, make_pool, support_bank, train_head
from ai_core.fitting.support import Support, encode_images, prepare_support
from ai_core.image_score import merge_views, score_held_out
from ai_core.images import Views, check_support
from ai_core.model import FoldHeads, Head, PatchBank
from ai_core.normal_tail import log_odds, to_score
from ai_core.operating_point import Aggregate, aggregate
from ai_core.presets import Preset
from ai_core.progress import FitProgress, Progress
from ai_core.scope import ImageFacts, describe_images

MOST_FOLDS = 3
"""Folds, and so heads, at most, unless another number is asked for."""

FEW_STUDIES = 12
"""Studies up to which there are three folds: a head needs most of them. With more, two folds leave
each head enough, and the mean of two heads is scored more like the one of a held-out normal."""

_OWN_MEDIAN_SUFFICES = 4
"""Normals of a fold from which on their distances from their own median stay as they are."""


@dataclass(frozen=True, slots=True)
class NormalScore:
    """Score of a normal study by a head that never saw it.

    Attributes:
        study: its index.
        score: in (0, 1), on the scale of the heads together.
        fold: fold that it was held out with, from 0.
        image: position of its highest image, in the order in which they were scored.

    Example:
        >>> from ai_core import NormalScore
        >>> NormalScore(study=3, score=0.25, fold=1, image=0).fold
        1
    """

    study: int
    score: float
    fold: int
    image: int


@dataclass(frozen=True, slots=True)
class CalibratedHeads:
    """Heads of the folds with the cross-fitted scores that their operating point is made from.

    Attributes:
        heads: each fitted without one fold.
        normals: one score per study, in ascending order of the study index.
    """

    heads: FoldHeads
    normals: tuple[NormalScore, ...]


HeldOut = Callable[[int], Iterable[Tensor] | None]
"""Returns all images of a study by its index, in batches as `Detector.score` takes them; None where
the support set holds them all already."""

HeldOutPlaces = Callable[[int], Tensor]
"""Returns the places of all images of a study along their series, in the order of `HeldOut`."""

StudyScore = Callable[[int, Tensor, Tensor], tuple[float, int]]
"""Makes a study's score, and the position of the image that has it, from the study's index, the
maps of its images, shape (n, 224, 224), and their image scores, shape (n,): for studies that are
scored as volumes."""


def choose_folds(studies: int, *, most: int = MOST_FOLDS) -> int:
    """Return the number of folds for some studies: at least two studies a fold where that can be.

    A head's scale is the median of the normals that it did not see; one alone has no spread about
    its own median.

    Args:
        studies: number of normal studies, at least 2.
        most: folds at most.

    Example:
        >>> from ai_core import choose_folds
        >>> [choose_folds(k) for k in (2, 4, 6, 16)]
        [2, 2, 3, 2]
    """
    folds = MOST_FOLDS if studies <= FEW_STUDIES else 2
    return max(2, min(most, folds, studies // 2))


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
    study_score: StudyScore | None = None,
    series_places: Tensor | None = None,
    held_out_places: HeldOutPlaces | None = None,
    views: Views,
) -> CalibratedHeads:
    """Fit a head without each fold, and score its studies by it; see `fit_calibrated`.

    Raises:
        CalibrationError: fewer than 2 folds, or too few studies for them.
        ImageInputError, SupportSetError: as `Detector.fit`.
    """
    check_support(images, views=views.count)
    plan = _Plan.make(
        images,
        groups,
        folds=folds,
        backbone=backbone,
        generator=generator,
        series_places=series_places,
    )
    fit = _Fit(plan, backbone, preset, generator, progress)
    heads = with_blend(
        [fit.head(fold) for fold in range(plan.count)],
        support=plan.support,
        folds=plan.folds,
        preset=preset,
    )
    raw: list[list[_Raw]] = []
    for fold in range(plan.count):
        raw.append([])
        for study in plan.studies_of(fold):
            maps, scores = [], []
            for encoded, places, facts in _encoded_study(fit, study, held_out, held_out_places):
                found = merge_views(
                    *score_held_out(
                        heads[fold],
                        encoded.tokens,
                        preset=preset,
                        study=study,
                        number=fold,
                        series_places=places,
                    ),
                    views=views,
                )
                if study_score is not None:
                    maps.append(found[0])
                scores.append(found[1])
                if facts is not None:
                    fit.guard.add(study, facts)
            image_scores = torch.cat(scores)
            score, image = (
                (aggregate(image_scores.tolist(), method=method), int(image_scores.argmax()))
                if study_score is None
                else study_score(study, torch.cat(maps), image_scores)
            )
            raw[-1].append(_Raw(study=study, x=log_odds(score), image=image))
            progress(FitProgress("calibrate", sum(map(len, raw)), plan.studies))
    scope = fit.guard.finish()
    return CalibratedHeads(
        heads=FoldHeads(tuple(replace(head, scope=scope) for head in heads)),
        normals=_on_one_scale([_stopped_as_highest(fold, fit.guard.stops) for fold in raw]),
    )


@dataclass(frozen=True, slots=True)
class _Raw:
    """Log-odds of a study by the head of its fold, on the scale of that head."""

    study: int
    x: float
    image: int


def _stopped_as_highest(fold: Sequence[_Raw], stops: Callable[[int], bool]) -> list[_Raw]:
    """Count a normal study that the scope guard stops as the highest of its fold.

    It will not be called normal, so it belongs to the false-positive budget.
    """
    highest = max(one.x for one in fold)
    return [replace(one, x=highest) if stops(one.study) else one for one in fold]


def _on_one_scale(by_fold: Sequence[Sequence[_Raw]]) -> tuple[NormalScore, ...]:
    """Bring the scores of each head to the scale of all heads together.

    That scale is the mean of the heads' log-odds. So a head's scale differs from it by the median
    of its own held-out normals less the mean of these medians. Where a fold holds one study out
    alone, its median is no estimate, and all scores stay as they are. The distances of two or three
    normals from their own median are too small, on average by the root of (n - 1) / n, and are
    enlarged by as much; with more, the mean over heads, which scores a normal study less far out
    than one head does, makes up for it.
    """
    medians = [median(one.x for one in fold) for fold in by_fold]
    shifted = all(len(fold) >= 2 for fold in by_fold)
    common = fmean(medians)
    return tuple(
        sorted(
            (
                NormalScore(
                    one.study,
                    to_score((one.x - shift) * _spread(len(ones)) + common)
                    if shifted
                    else to_score(one.x),
                    fold,
                    one.image,
                )
                for fold, (ones, shift) in enumerate(zip(by_fold, medians, strict=True))
                for one in ones
            ),
            key=lambda normal: normal.study,
        )
    )


def _spread(held_out: int) -> float:
    return math.sqrt(held_out / (held_out - 1)) if held_out < _OWN_MEDIAN_SUFFICES else 1.0


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
        series_places: Tensor | None,
    ) -> "_Plan":
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
            support=prepare_support(
                images, groups=groups, backbone=backbone, series_places=series_places
            ),
            folds=torch.tensor([fold_of[group] for group in groups]),
            count=folds,
        )

    @property
    def studies(self) -> int:
        return len(set(self.support.groups.tolist()))

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

        self.guard = fit_guard(
            plan.support, self._pool, preset=preset, backbone=backbone, generator=generator
        )
        self._scope = self.guard.finish()  # of no account: the heads get the last one
        self._bank: PatchBank | None = support_bank(
            plan.support, preset=preset, generator=generator
        )

    def head(self, without: int) -> Head:
        """Fit a head on every fold but one, with the patch bank of all of them."""
        plan = self.plan
        return train_head(
            plan.support.part(plan.folds != without),
            pool=None if self._pool is None else self._pool.without(without),
            backbone=self.backbone,
            preset=self.preset,
            generator=self.generator,
            progress=_named(self.progress, f"cross-fit {without + 1}/{plan.count}"),
            patch_bank=self._bank,
            scope=self._scope,
        )


def _encoded_study(
    fit: _Fit, study: int, held_out: HeldOut | None, held_out_places: HeldOutPlaces | None
) -> Iterator[tuple[Encoded, Tensor | None, ImageFacts | None]]:
    """Yield a study's encoded images, batch by batch, with their places along the series.

    The facts are those of images that the scope guard was not fitted on.
    """
    batches = held_out(study) if held_out is not None else None
    if batches is None:
        own = fit.plan.support.part(fit.plan.support.groups == study)
        yield own.encoded, own.series_places, None
        return
    places = None if held_out_places is None else held_out_places(study)
    done = 0
    for batch in batches:
        end = done + len(batch)
        encoded = encode_images(batch, backbone=fit.backbone)
        facts = describe_images(batch, tokens=encoded.tokens, embedding=encoded.embedding)
        yield encoded, None if places is None else places[done:end], facts
        done = end


def _named(progress: Progress, stage: str) -> Progress:
    def report(state: FitProgress) -> None:
        progress(FitProgress(stage, state.step, state.steps, state.loss))

    return report
