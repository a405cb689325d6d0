"""The blended map: mirror asymmetry, levels among normals, and what a held-out study may see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core import DEFAULT, Detector, Preset, fit_calibrated
from ai_core.fitting import prepare_support, with_blend
from ai_core.image_score import blended_patches, patch_log_odds, score_held_out
from ai_core.model import Blend, BlendSettings, FoldHeads, mirror_asymmetry
from tests.ai_core.conftest import quicker, seeded

GROUPS = (0, 0, 1, 1, 2, 3)


def blend_of(levels: list[float], **settings: float) -> Blend:
    return Blend(
        settings=BlendSettings(**{"level_share": 1.0, **settings}),  # type: ignore[arg-type]
        odds_mean=torch.zeros(1),
        odds_deviation=torch.ones(1),
        mirror_mean=torch.tensor(0.0),
        mirror_deviation=torch.tensor(1.0),
        levels=torch.tensor(levels),
        level_owners=torch.arange(len(levels)),
    )


def mirrored(grid: Tensor) -> Tensor:
    """Tokens of one image whose right half is its left half, shape (1, 1, side², width)."""
    half = grid.shape[1] // 2
    grid = torch.cat([grid[:, :half], grid[:, :half].flip(1)], dim=1)
    return grid.flatten(0, 1)[None, None]


def test_an_image_that_is_its_own_mirror_is_nowhere_asymmetric():
    tokens = mirrored(torch.randn(6, 6, 8, generator=seeded(0)))
    assert float(mirror_asymmetry(tokens, window=1).max()) < 1e-3


def test_a_patch_that_the_other_side_lacks_is_asymmetric_by_its_distance_to_the_nearest_there():
    tokens = mirrored(torch.randn(6, 6, 8, generator=seeded(0)))
    tokens[0, 0, 1 * 6 + 4] = torch.randn(8, generator=seeded(1))
    found = mirror_asymmetry(tokens, window=3)[0].view(6, 6)
    grid = F.normalize(tokens[0, 0], dim=-1).view(6, 6, 8)
    about = grid[0:3, 0:3].reshape(-1, 8)  # the mirrored place of row 1, column 4 is column 1
    expected = (about - grid[1, 4]).norm(dim=-1).min()
    torch.testing.assert_close(found[1, 4], expected, rtol=1e-3, atol=1e-4)


def test_a_wider_window_finds_the_same_or_a_nearer_patch():
    tokens = torch.randn(2, 3, 49, 8, generator=seeded(0))
    narrow, wide = (mirror_asymmetry(tokens, window=window) for window in (1, 5))
    assert bool((wide <= narrow + 1e-6).all())
    assert bool((wide < narrow - 1e-3).any())


def test_a_level_counts_by_how_far_it_is_from_those_of_normal_images():
    alike, unlike = [1.0, 1.1, 0.9, 1.0] * 20, [1.0, 3.0, -1.0, 1.0] * 20
    total = torch.tensor([[2.0, 2.0, 2.0, 9.0], [1.0, 1.0, 1.0, 8.0]])
    among_alike = blend_of(alike).with_level(total)
    among_unlike = blend_of(unlike).with_level(total)
    torch.testing.assert_close(among_alike[:, 3] - among_alike[:, 0], torch.tensor([7.0, 7.0]))
    torch.testing.assert_close(among_alike[1], torch.tensor([0.0, 0.0, 0.0, 7.0]))
    assert float(among_alike[0, 0]) > 3 * float(among_unlike[0, 0]) > 0


def test_levels_of_slices_do_not_count():
    total = torch.tensor([[2.0, 2.0, 2.0, 9.0]])
    series = replace(blend_of([1.0, 1.2, 0.9, 1.1]), level_owners=torch.tensor([0, 0, 1, 1]))
    assert torch.equal(series.with_level(total), total)
    assert not torch.equal(blend_of([1.0, 1.2, 0.9, 1.1]).with_level(total), total)


def test_without_a_share_the_level_stays():
    total = torch.randn(3, 9, generator=seeded(0))
    assert torch.equal(blend_of([5.0, 6.0], level_share=0.0).with_level(total), total)


def test_a_held_out_study_is_not_among_the_levels_that_it_is_held_against():
    total = torch.full((1, 4), 9.0)
    blend = blend_of([9.0, 1.0, 1.2, 0.8])
    torch.testing.assert_close(
        blend.with_level(total, without=0),
        blend_of([1.0, 1.2, 0.8]).with_level(total),
    )
    assert bool((blend.with_level(total, without=0) > blend.with_level(total)).all())


def test_one_normal_level_or_none_gives_numbers():
    total = torch.tensor([[1.0, 2.0, 3.0]])
    for levels in ([1.0], []):
        assert bool(torch.isfinite(blend_of(levels).with_level(total)).all())


@pytest.fixture(scope="module")
def preset() -> Preset:
    small = quicker(DEFAULT, pool_images=8, updates=2, batch=4)
    assert small.blend is not None
    assert small.blend.level_share > 0
    return small


@pytest.fixture(scope="module")
def calibrated(tiny_backbone, support, preset):
    images = support[:6]
    return fit_calibrated(
        images, GROUPS, backbone=tiny_backbone, preset=preset, folds=2, generator=seeded(3)
    )


def heads_of(calibrated) -> FoldHeads:
    heads = calibrated.detector._head
    assert isinstance(heads, FoldHeads)
    return heads


def test_each_heads_scale_is_that_of_the_normals_that_it_did_not_see(
    calibrated, tiny_backbone, support, preset
):
    heads = heads_of(calibrated)
    fold_of = {normal.study: normal.fold for normal in calibrated.normals}
    folds = torch.tensor([fold_of[group] for group in GROUPS])
    tokens = tiny_backbone.encode(support[:6]).tokens
    assert heads.blend is not None
    for number, head in enumerate(heads.heads):
        odds = patch_log_odds((head,), tokens[folds == number], preset=preset)
        torch.testing.assert_close(heads.blend.odds_mean[number], odds.mean())
        torch.testing.assert_close(heads.blend.odds_deviation[number], odds.std())
    assert heads.blend.level_owners.tolist() == list(GROUPS)


def test_levels_are_those_of_new_images_to_the_head_and_the_bank(
    calibrated, tiny_backbone, support, preset
):
    heads = heads_of(calibrated)
    assert heads.blend is not None
    normal = calibrated.normals[1]
    own = torch.tensor([group == normal.study for group in GROUPS])
    head = replace(heads.heads[normal.fold], blend=heads.blend.of_head(normal.fold))
    patches = blended_patches(
        (head,), tiny_backbone.encode(support[:6][own]).tokens, preset=preset, without=normal.study
    )
    torch.testing.assert_close(
        heads.blend.levels[own], patches.median(1).values, rtol=1e-4, atol=1e-4
    )


def test_no_other_image_of_its_own_study_lowers_the_score_of_a_held_out_one(
    calibrated, tiny_backbone, support, preset
):
    """Its own entries and levels are left out: changing them changes nothing."""
    heads = heads_of(calibrated)
    head, bank, blend = heads.heads[0], heads.patch_bank, heads.blend
    assert bank is not None
    assert blend is not None
    study = calibrated.normals[0].study
    tokens = tiny_backbone.encode(support[:1]).tokens
    scored = score_held_out(head, tokens, preset=preset, study=study, number=0)
    mine = bank.owners == study
    other = replace(
        head,
        patch_bank=replace(bank, bank=torch.where(mine[:, None], 0.5, bank.bank)),
        blend=replace(blend, levels=torch.where(blend.level_owners == study, 99.0, blend.levels)),
    )
    again = score_held_out(other, tokens, preset=preset, study=study, number=0)
    assert torch.equal(again[0], scored[0])


def test_the_map_of_a_blend_is_saved_and_comes_back_bit_for_bit(calibrated, tiny_backbone, support):
    again = Detector.from_bytes(calibrated.detector.to_bytes(), backbone=tiny_backbone)
    assert again.sha256 == calibrated.detector.sha256
    assert torch.equal(again.score(support).maps, calibrated.detector.score(support).maps)


def test_a_single_head_has_a_scale_too_and_images_of_one_study_stand_for_themselves(
    tiny_backbone, support, preset
):
    detector = Detector.fit(
        support[:4],
        backbone=tiny_backbone,
        preset=preset,
        groups=(5, 5, 5, 5),
        generator=seeded(1),
    )
    blend = detector._head.blend
    assert blend is not None
    assert blend.level_owners.tolist() == [0, 1, 2, 3]
    assert bool(torch.isfinite(detector.score(support).scores).all())


def test_a_preset_without_a_blend_leaves_heads_as_they_are(
    calibrated, tiny_backbone, support, preset
):
    heads = [replace(head, blend=None) for head in heads_of(calibrated).heads]
    prepared = prepare_support(support[:6], groups=GROUPS, backbone=tiny_backbone)
    found = with_blend(heads, support=prepared, folds=None, preset=replace(preset, blend=None))
    assert list(found) == heads


def test_the_blend_is_fitted_to_the_same_bytes_again(calibrated, tiny_backbone, support, preset):
    again = fit_calibrated(
        support[:6], GROUPS, backbone=tiny_backbone, preset=preset, folds=2, generator=seeded(3)
    )
    assert again.detector.to_bytes() == calibrated.detector.to_bytes()
