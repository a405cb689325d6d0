"""Cross-fitted scores of normals come from detectors that never saw them."""

from __future__ import annotations

from statistics import median

import pytest
import torch
from torch import Tensor

from ai_core import (
    DEFAULT,
    PAPER,
    CalibrationError,
    Detector,
    FitProgress,
    ImageInputError,
    OperatingPoint,
    SupportSetError,
    Verdict,
    Views,
    aggregate,
    choose_folds,
    fit_calibrated,
)
from ai_core.fitting.calibration import _Raw, _stopped_as_highest
from ai_core.images.checks import image_digests
from ai_core.normal_tail import log_odds
from ai_core.storage import unpack
from tests.ai_core.conftest import quicker, seeded, textured

POOLED = quicker(DEFAULT, pool_images=16, updates=2, batch=8, loss_side=28)
STREAMED = quicker(PAPER, epochs=1, batch=4, loss_side=28)
UNLEARNT = quicker(DEFAULT, pool_images=8, updates=0, loss_side=28)
GROUPS = (3, 3, 5, 5, 8, 8, 9, 9)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return textured(8, seed=41)


@pytest.fixture(scope="module")
def base(scores, images) -> tuple[float, ...]:
    found: tuple[float, ...] = scores(images)
    return found


@pytest.fixture(scope="module")
def scores(tiny_backbone):
    def run(images: Tensor, groups=GROUPS, *, preset=POOLED, seed: int = 5, **options):
        return fit_calibrated(
            images,
            groups,
            backbone=tiny_backbone,
            preset=preset,
            generator=seeded(seed),
            **options,
        ).normal_scores

    return run


def nudged(images: Tensor, group: int) -> Tensor:
    """The same but for a hair more light in the images of one study."""
    changed = images.clone()
    for index in (index for index, other in enumerate(GROUPS) if other == group):
        changed[index] = (changed[index] * 1.01).clamp(0, 1)
    return changed


@pytest.fixture(scope="module")
def heads(tiny_backbone):
    """Tensors of each head of a calibrated fit, and the fold of each study."""

    def run(images: Tensor, *, preset=POOLED) -> tuple[list[dict[str, Tensor]], list[int]]:
        fit = fit_calibrated(
            images, GROUPS, backbone=tiny_backbone, preset=preset, generator=seeded(5)
        )
        tensors, _ = unpack(fit.detector.to_bytes())
        found = [
            {name: value for name, value in tensors.items() if name.startswith(f"heads.{fold}.")}
            for fold in range(fit.folds)
        ]
        return found, [normal.fold for normal in fit.normals]

    return run


@pytest.mark.parametrize("preset", [POOLED, STREAMED], ids=["pooled", "streamed"])
def test_a_study_leaves_no_trace_in_the_head_that_scores_its_fold(images, heads, preset):
    base, folds = heads(images, preset=preset)
    assert sorted(folds) == [0, 0, 1, 1]
    for place, group in enumerate((3, 5, 8, 9)):
        found, same_folds = heads(nudged(images, group), preset=preset)
        assert same_folds == folds
        own, other = folds[place], 1 - folds[place]
        assert all(torch.equal(found[own][name], base[own][name]) for name in base[own])
        assert any(not torch.equal(found[other][name], base[other][name]) for name in base[other])


def test_a_detector_scores_a_study_as_its_normals_were_scored(images, tiny_backbone):
    # nothing learnt and equal scales: all heads are alike but for their start, and a support study
    # differs from a new one by its own entries of the bank alone
    fit = fit_calibrated(images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5))
    new = textured(60, seed=77)
    scores = fit.detector.score(new).scores
    low, high = min(fit.normal_scores), max(fit.normal_scores)
    spread = max(high - low, 0.02)
    assert low - 4 * spread < float(scores.median()) < high + 4 * spread


def test_a_pixel_exceeds_a_threshold_exactly_where_the_image_does(images, tiny_backbone):
    fit = fit_calibrated(images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5))
    found = fit.detector.score(textured(12, seed=78))
    assert torch.equal(found.maps.flatten(1).amax(1), found.scores)
    for threshold in found.scores.tolist():
        assert torch.equal((found.maps > threshold).flatten(1).any(1), found.scores > threshold)


def test_scores_of_different_heads_are_brought_to_one_scale(images, tiny_backbone):
    fit = fit_calibrated(images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5))
    medians = [
        median(log_odds(normal.score) for normal in fit.normals if normal.fold == fold)
        for fold in range(2)
    ]
    assert medians[0] == pytest.approx(medians[1], abs=1e-4)


def test_a_study_may_be_scored_as_a_volume(images, tiny_backbone):
    seen: dict[int, tuple[int, ...]] = {}

    def mean_of_maps(study: int, maps: Tensor, scores: Tensor) -> tuple[float, int]:
        seen[study] = (*maps.shape, len(scores))
        return float(maps.mean()), 1 if study == 8 else 0

    fit = fit_calibrated(
        images,
        GROUPS,
        backbone=tiny_backbone,
        preset=POOLED,
        generator=seeded(5),
        study_score=mean_of_maps,
    )
    assert seen == dict.fromkeys((3, 5, 8, 9), (2, 224, 224, 2))
    assert [normal.image for normal in fit.normals] == [0, 0, 1, 0]
    plain = fit_calibrated(
        images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5)
    )
    assert fit.normal_scores != plain.normal_scores


def test_images_in_two_windows_are_calibrated_as_they_are_scored(images, tiny_backbone):
    """Four images in two views each: a study's score is that of the views' maximum."""
    views = Views(windows=2)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def volume(study: int, maps: Tensor, scores: Tensor) -> tuple[float, int]:
        seen[study] = maps, scores
        return float(scores.max()), int(scores.argmax())

    fit = fit_calibrated(
        images,
        (0, 0, 1, 1, 2, 2, 3, 3),
        backbone=tiny_backbone,
        preset=POOLED,
        generator=seeded(5),
        study_score=volume,
        views=views,
    )
    assert {study: maps.shape for study, (maps, _) in seen.items()} == dict.fromkeys(
        range(4), (1, 224, 224)
    )
    assert all(normal.image == 0 for normal in fit.normals)
    one_by_one, merged = fit.detector.score(images), fit.detector.score(images, views=views)
    assert merged.maps.shape == (4, 224, 224)
    highest = one_by_one.maps.view(4, 2, 224, 224).amax(1)
    assert torch.equal(merged.maps, highest)
    assert torch.equal(merged.scores, one_by_one.scores.view(4, 2).amax(1))
    assert torch.equal(merged.maps.flatten(1).amax(1), merged.scores)
    with pytest.raises(ImageInputError, match="2 views each"):
        fit.detector.score(images[:3], views=views)


def test_large_images_are_fitted_and_scored_in_tiles(tiny_backbone):
    large = textured(16, seed=43).view(4, 2, 2, 3, 224, 224)
    large = large.permute(0, 3, 1, 4, 2, 5).reshape(4, 3, 448, 448)
    fit = fit_calibrated(
        large, range(4), backbone=tiny_backbone, preset=POOLED, generator=seeded(5)
    )
    changed = large.clone()
    changed[0, :, 300:330, 60:90] = 1.0
    before, after = fit.detector.score(large[:1]), fit.detector.score(changed[:1])
    assert after.maps.shape == (1, 224, 224)
    assert float(after.scores) == float(after.maps.max())
    row, column = divmod(int((after.maps - before.maps)[0].argmax()), 224)
    assert 300 / 2 - 14 <= row <= 330 / 2 + 14
    assert 60 / 2 - 14 <= column <= 90 / 2 + 14


@pytest.mark.parametrize(
    ("studies", "folds"), [(2, 2), (3, 2), (4, 2), (5, 2), (6, 3), (12, 3), (13, 2), (99, 2)]
)
def test_a_fold_holds_two_studies_where_that_can_be(studies, folds):
    assert choose_folds(studies) == folds
    assert choose_folds(studies, most=2) == 2


def test_there_is_one_score_per_study(base):
    assert len(base) == 4
    assert len(set(base)) == 4
    assert all(0 <= score <= 1 for score in base)


def test_scores_stand_in_ascending_order_of_the_study_index(images, scores):
    # the same studies, handed over the other way round: nothing learnt, so nothing else differs
    turned = scores(images.flip(0), tuple(reversed(GROUPS)), preset=UNLEARNT)
    assert turned == pytest.approx(scores(images, preset=UNLEARNT), abs=1e-5)
    assert turned != pytest.approx(tuple(reversed(turned)), abs=1e-4)


def test_one_seed_gives_the_same_scores_and_another_others(images, scores, base):
    assert scores(images) == base
    assert scores(images, seed=6) != base


def test_a_study_score_is_made_of_its_image_scores_as_asked(images, scores, base):
    mean = scores(images, method="top-mean")
    # the scale of all heads is the mean of their medians, so the middle moves as scores do
    assert median(mean) < median(base)
    assert mean != base


def test_as_many_folds_as_studies_leave_one_study_out(images, scores):
    base = scores(images, folds=4)
    moved = scores(nudged(images, 5), folds=4)
    assert len(base) == 4
    assert all(a != b for a, b in zip(base, moved, strict=True))


def test_a_calibrated_fit_gives_the_same_bytes_again_and_can_be_saved(images, tiny_backbone):
    fit = fit_calibrated(images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5))
    assert fit.detector.info.support_sha256 == image_digests(images)
    assert (fit.detector.info.seed, fit.detector.info.preset) == (5, POOLED)
    again = fit_calibrated(
        images, GROUPS, backbone=tiny_backbone, preset=POOLED, generator=seeded(5)
    )
    assert again.detector.to_bytes() == fit.detector.to_bytes()
    restored = Detector.from_bytes(fit.detector.to_bytes(), backbone=tiny_backbone)
    assert torch.equal(restored.score(images).scores, fit.detector.score(images).scores)


def test_the_scores_make_an_operating_point(base):
    point = OperatingPoint(base, false_positive_rate=0.2)
    assert point.calibrated
    assert point.verdict(aggregate([1.0])) is Verdict.ABNORMAL
    assert point.verdict(min(base)) is Verdict.NORMAL


def test_progress_names_every_stage(images, tiny_backbone):
    told: list[FitProgress] = []
    fit_calibrated(
        images,
        GROUPS,
        backbone=tiny_backbone,
        preset=POOLED,
        generator=seeded(5),
        progress=told.append,
    )
    stages = list(dict.fromkeys(state.stage for state in told))
    assert stages == ["encode", "cross-fit 1/2", "cross-fit 2/2", "calibrate"]
    last = {state.stage: (state.step, state.steps) for state in told}
    assert last == {
        "encode": (16, 16), "cross-fit 1/2": (2, 2), "cross-fit 2/2": (2, 2),
        "calibrate": (len(set(GROUPS)), len(set(GROUPS))),
    }  # fmt: skip


@pytest.mark.parametrize("groups", [GROUPS[:7], (*GROUPS, 9), ()])
def test_a_study_index_for_every_image_is_needed(images, scores, groups):
    with pytest.raises(CalibrationError, match=f"8 images, but {len(groups)} study indices"):
        scores(images, groups)


@pytest.mark.parametrize(
    ("groups", "folds"), [((1,) * 8, 2), (GROUPS, 5), (GROUPS, 1), (GROUPS, 0), (GROUPS, -2)]
)
def test_too_few_studies_or_folds_are_told(images, scores, groups, folds):
    with pytest.raises(
        CalibrationError, match=f"in {folds} folds needs .* {len(set(groups))} stud"
    ):
        scores(images, groups, folds=folds)


def test_wrong_images_and_support_sets_are_told(images, scores):
    with pytest.raises(ImageInputError):
        scores(images * 2)
    with pytest.raises(SupportSetError):
        scores(images[:1], (0,))


@pytest.mark.parametrize("preset", [POOLED, STREAMED], ids=["pooled", "streamed"])
def test_two_studies_of_one_image_can_be_cross_fitted(images, scores, preset):
    found = scores(images[:2], (0, 1), preset=preset)
    assert len(found) == 2
    assert all(0 <= score <= 1 for score in found)


@pytest.mark.parametrize("k", range(2, 8))
def test_identical_pictures_make_an_operating_point(k, tiny_backbone):
    same = textured(1, seed=9).expand(k, -1, -1, -1).contiguous()
    fit = fit_calibrated(same, range(k), backbone=tiny_backbone, preset=POOLED, generator=seeded(k))
    assert len(fit.normal_scores) == k
    point = OperatingPoint(fit.normal_scores, 0.4)
    assert all(0 < point.p_value(score) <= 1 for score in fit.normal_scores)
    scores = fit.detector.score(torch.cat([same[:1], textured(2, seed=10)])).scores.tolist()
    assert all(0 < point.p_value(score) <= 1 for score in scores)


@pytest.mark.parametrize("k", range(2, 8))
def test_few_pictures_promise_what_counting_can_and_flag_something_at_that_rate(k, tiny_backbone):
    normals = textured(k, seed=50 + k)
    fit = fit_calibrated(
        normals, range(k), backbone=tiny_backbone, preset=POOLED, generator=seeded(k)
    )
    assert len(fit.normal_scores) == k
    lowest = OperatingPoint(fit.normal_scores, 1 / (k + 1))
    assert lowest.calibrated
    assert lowest.threshold is not None
    assert lowest.verdict(1.0) is Verdict.ABNORMAL
    assert lowest.verdict(min(fit.normal_scores)) is Verdict.NORMAL
    assert not OperatingPoint(fit.normal_scores, 0.9 / (k + 1)).calibrated


def test_a_normal_that_the_scope_guard_stops_counts_as_the_highest_of_its_fold() -> None:
    fold = [_Raw(study, x, image=0) for study, x in ((3, -1.0), (5, 2.0), (8, 0.5))]
    counted = _stopped_as_highest(fold, {3}.__contains__)
    assert [(one.study, one.x) for one in counted] == [(3, 2.0), (5, 2.0), (8, 0.5)]
