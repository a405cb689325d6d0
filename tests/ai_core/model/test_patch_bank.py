"""The bank of normal patches: distances by brute force, a coreset that covers, and the fusion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core import DEFAULT, Detector, ImageInputError
from ai_core.image_score import reported_map
from ai_core.model import PatchBankSettings
from ai_core.model import patch_bank as patch_bank_module
from ai_core.model.anomaly_map import LogMaps
from ai_core.model.patch_bank import (
    PatchBank,
    coreset,
    fit_patch_bank,
    join_blocks,
    nearest_distances,
    patch_features,
    whitening_matrix,
)
from ai_core.normal_tail import LOG_ODDS_STRETCH
from ai_core.storage import pack, tensors_sha256, unpack
from tests.ai_core.conftest import quicker, seeded

GROUPS = torch.tensor([0, 0, 1, 2])
ALL = PatchBankSettings(size=100)


def random_tokens(count: int, *, seed: int = 0, patches: int = 9) -> Tensor:
    return torch.randn(count, 2, patches, 5, generator=seeded(seed))


def units(count: int, *, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, 6, generator=seeded(seed)), dim=-1)


def test_joined_blocks_have_unit_length_and_equal_say():
    tokens = random_tokens(3)
    tokens[:, 1] *= 1000
    joined = join_blocks(tokens)
    assert joined.shape == (3, 9, 10)
    torch.testing.assert_close(joined.norm(dim=-1), torch.ones(3, 9))
    torch.testing.assert_close(joined[..., :5].norm(dim=-1), joined[..., 5:].norm(dim=-1))


def test_the_distance_is_that_to_the_nearest_entry():
    patches, bank = units(7), units(11, seed=1)
    expected = torch.tensor([min(float((p - b).norm()) for b in bank) for p in patches])
    torch.testing.assert_close(nearest_distances(patches, bank), expected, rtol=1e-4, atol=1e-5)


def test_the_distance_is_that_of_vectors_of_any_length():
    patches, bank = 3 * units(7), 2 * units(11, seed=1)
    expected = torch.tensor([min(float((p - b).norm()) for b in bank) for p in patches])
    torch.testing.assert_close(nearest_distances(patches, bank), expected, rtol=1e-4, atol=1e-5)


def test_only_allowed_entries_count_and_without_any_the_distance_is_the_largest():
    patches = units(4)
    allowed = torch.tensor([False, True, True, True])
    found = nearest_distances(patches, patches, allowed=allowed)
    assert float(found[0]) > 0.1
    torch.testing.assert_close(found[1:], torch.zeros(3), rtol=0, atol=1e-3)
    nothing = nearest_distances(patches, patches, allowed=torch.zeros(4, dtype=torch.bool))
    assert nothing.tolist() == [2.0] * 4


def test_an_entry_far_away_counts_where_it_is_the_only_one_that_is_allowed():
    patches, far = units(2), 50 * units(2)
    found = nearest_distances(patches, far, allowed=torch.tensor([True, False]))
    torch.testing.assert_close(found, (patches - far[0]).norm(dim=1), rtol=1e-4, atol=0)


def test_the_middle_block_alone_is_compared():
    tokens = torch.randn(2, 3, 9, 5, generator=seeded(0))
    found = patch_features(tokens, PatchBankSettings(blocks="middle"))
    torch.testing.assert_close(found, F.normalize(tokens[:, 1], dim=-1))


def test_the_place_counts_by_the_square_of_what_it_is_apart():
    tokens = random_tokens(2)
    features = patch_features(tokens, PatchBankSettings(place_weight=3.0))
    joined = join_blocks(tokens)
    here, there = (0, 5), (1, 7)  # image, patch: row 1 and column 2, row 2 and column 1 of 3x3
    cosine = float(joined[here] @ joined[there])
    apart = (1 / 3) ** 2 + (1 / 3) ** 2
    distance = float((features[here] - features[there]).norm())
    assert distance == pytest.approx((2 - 2 * (cosine - 3.0 * apart)) ** 0.5, rel=1e-5)


def test_the_same_patch_deviates_more_at_another_place():
    tokens = random_tokens(4)
    moved = tokens.roll(4, dims=2)
    anywhere = fit_patch_bank(tokens, GROUPS, settings=ALL, generator=seeded(0))
    placed = fit_patch_bank(
        tokens, GROUPS, settings=replace(ALL, place_weight=3.0), generator=seeded(0)
    )
    torch.testing.assert_close(
        anywhere.deviation(moved), anywhere.deviation(tokens).roll(4, dims=1)
    )
    assert bool((placed.deviation(moved) > placed.deviation(tokens).roll(4, dims=1)).all())


def test_few_patches_are_all_kept():
    assert coreset(units(5), size=5, generator=seeded(0)).tolist() == [0, 1, 2, 3, 4]


def test_a_coreset_takes_one_of_each_cluster_before_a_second_of_any():
    centres = 10 * torch.eye(8)[:4]
    patches = torch.cat(
        [centre + 0.01 * torch.randn(20, 8, generator=seeded(3)) for centre in centres]
    )
    chosen = coreset(patches, size=4, generator=seeded(0))
    assert sorted((chosen // 20).tolist()) == [0, 1, 2, 3]
    assert torch.equal(chosen, coreset(patches, size=4, generator=seeded(0)))


def test_a_coreset_is_picked_among_a_bounded_number_of_candidates(monkeypatch):
    monkeypatch.setattr(patch_bank_module, "CANDIDATES", 30)
    chosen = coreset(units(1000), size=20, generator=seeded(0))
    assert len(set(chosen.tolist())) == 20
    assert chosen.tolist() == sorted(chosen.tolist())
    assert len(coreset(units(1000), size=50, generator=seeded(0))) == 30


def test_normal_patches_are_held_against_those_of_other_studies():
    tokens = random_tokens(4)
    found = fit_patch_bank(tokens, GROUPS, settings=ALL, generator=seeded(0))
    joined = join_blocks(tokens)
    distances = torch.cat(
        [
            nearest_distances(joined[n], joined[group != GROUPS].flatten(0, 1))
            for n, group in enumerate(GROUPS)
        ]
    )
    torch.testing.assert_close(found.distance_mean, distances.mean())
    torch.testing.assert_close(found.distance_deviation, distances.std())
    assert found.bank.shape == (36, 10)


def test_images_of_a_single_study_stand_for_themselves():
    tokens = random_tokens(3)
    one = fit_patch_bank(
        tokens, torch.zeros(3, dtype=torch.int64), settings=ALL, generator=seeded(0)
    )
    each = fit_patch_bank(tokens, torch.arange(3), settings=ALL, generator=seeded(0))
    assert torch.equal(one.distance_mean, each.distance_mean)


def test_patches_of_the_bank_deviate_less_than_others():
    found = fit_patch_bank(random_tokens(4), GROUPS, settings=ALL, generator=seeded(0))
    known, unknown = found.deviation(random_tokens(4)), found.deviation(random_tokens(4, seed=9))
    assert known.shape == (4, 9)
    assert float(known.max()) < float(unknown.min())


def test_deviation_is_linear_near_the_normal_and_grows_slowly_far_from_everything_normal():
    bank, far = torch.tensor([[1.0, 0.0]]), torch.tensor([[[[0.0, 1.0]]]])
    distance = 2**0.5
    for deviations, expected in ((0.1, 0.1), (1.0, 0.98), (1000.0, 19.5)):
        patch_bank = PatchBank(
            settings=ALL,
            bank=bank.half(),
            distance_mean=torch.tensor(0.0),
            distance_deviation=torch.tensor(distance / deviations),
        )
        torch.testing.assert_close(float(patch_bank.deviation(far)), expected, rtol=0.01, atol=0)


def test_deviation_goes_into_the_log_odds_by_its_weight():
    odds = torch.tensor([[[-3.0, 1.0], [0.5, 2.0]]])
    maps = LogMaps(normal=F.logsigmoid(-odds), anomaly=F.logsigmoid(odds))
    preset = replace(DEFAULT, memory=PatchBankSettings(weight=1.5))
    deviation = torch.tensor([[2.0, 0.0, -1.0, 4.0]])
    found = reported_map(maps, preset=preset, deviation=deviation)
    expected = torch.sigmoid((odds + 1.5 * deviation.view(1, 2, 2)) / LOG_ODDS_STRETCH)
    torch.testing.assert_close(found, expected)


@pytest.fixture(scope="module")
def with_patch_bank(tiny_backbone, support) -> Detector:
    preset = quicker(
        replace(DEFAULT, memory=PatchBankSettings(size=64)), pool_images=8, updates=2, batch=4
    )
    return Detector.fit(support, backbone=tiny_backbone, preset=preset, generator=seeded(1))


def test_a_detector_with_a_memory_is_saved_and_comes_back_bit_for_bit(
    with_patch_bank, tiny_backbone, support
):
    again = Detector.from_bytes(with_patch_bank.to_bytes(), backbone=tiny_backbone)
    assert again.sha256 == with_patch_bank.sha256
    assert torch.equal(again.score(support).maps, with_patch_bank.score(support).maps)


def test_a_memory_changes_the_map(with_patch_bank, tiny_backbone, support):
    preset = replace(with_patch_bank.info.preset, memory=None)
    plain = Detector.fit(support, backbone=tiny_backbone, preset=preset, generator=seeded(1))
    assert (
        float((plain.score(support).maps - with_patch_bank.score(support).maps).abs().max()) > 1e-3
    )


def test_a_study_is_looked_up_without_its_own_entries():
    tokens = random_tokens(4)
    bank = fit_patch_bank(tokens, torch.arange(4), settings=ALL, generator=seeded(0))
    among_all = bank.deviation(tokens[2:3])
    among_others = bank.deviation(tokens[2:3], without=2)
    assert bool((among_all < among_others).all())
    assert torch.equal(bank.deviation(tokens[2:3], without=9), among_all)
    others = fit_patch_bank(tokens[[0, 1, 3]], torch.arange(3), settings=ALL, generator=seeded(0))
    expected = replace(
        others, distance_mean=bank.distance_mean, distance_deviation=bank.distance_deviation
    )
    torch.testing.assert_close(among_others, expected.deviation(tokens[2:3]))


def test_the_nearest_normal_patch_is_named_by_study_image_and_place():
    tokens = random_tokens(4)
    bank = fit_patch_bank(tokens, GROUPS, settings=ALL, generator=seeded(0))
    places = torch.tensor([[0, 0], [1, 2], [2, 1]])
    found = bank.nearest(tokens[3:] + 1e-4, places)
    assert found is not None
    assert found.studies.tolist() == [2, 2, 2]
    assert found.images.tolist() == [3, 3, 3]
    assert torch.equal(found.places, places)
    assert bool((found.distances < 1e-2).all())
    assert torch.equal(found.entries, torch.tensor([27, 32, 34]))


def test_the_nearest_normal_patch_of_a_support_study_is_of_another_and_as_far_as_it_deviates():
    tokens = random_tokens(4)
    bank = fit_patch_bank(tokens, GROUPS, settings=ALL, generator=seeded(0))
    places = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    found = bank.nearest(tokens[1:2], places, without=0)
    assert found is not None
    assert set(found.studies.tolist()) <= {1, 2}
    joined = join_blocks(tokens)
    at = found.places[:, 0] * 3 + found.places[:, 1]
    apart = (joined[1] - joined[found.images, at]).norm(dim=-1)
    torch.testing.assert_close(found.distances, apart, rtol=1e-2, atol=1e-3)
    expected = nearest_distances(joined[1], joined[2:].flatten(0, 1))
    torch.testing.assert_close(found.distances, expected, rtol=1e-2, atol=1e-3)


def test_nothing_is_near_where_no_entry_counts():
    tokens = random_tokens(2)
    bank = fit_patch_bank(tokens, torch.arange(2), settings=ALL, generator=seeded(0))
    alone = replace(bank, owners=torch.zeros(18, dtype=torch.int64))
    found = alone.nearest(tokens[:1], torch.tensor([[0, 0]]), without=0)
    assert found is not None
    assert found.distances.tolist() == [2.0]


def test_entries_of_a_coreset_keep_their_image_and_place():
    tokens = random_tokens(4)
    bank = fit_patch_bank(tokens, GROUPS, settings=replace(ALL, size=10), generator=seeded(0))
    joined = join_blocks(tokens)
    torch.testing.assert_close(bank.bank, joined[bank.images, bank.patches].half())
    assert bank.owners is not None
    assert torch.equal(bank.owners, GROUPS[bank.images])


def test_a_saved_detector_knows_its_nearest_patches_and_one_of_before_does_not(
    with_patch_bank, tiny_backbone, support
):
    again = Detector.from_bytes(with_patch_bank.to_bytes(), backbone=tiny_backbone)
    tokens = tiny_backbone.encode(support[:1]).tokens
    places = torch.tensor([[0, 0], [1, 1]])
    first, second = (one.nearest_patches(tokens, places) for one in (with_patch_bank, again))
    assert first is not None
    assert second is not None
    assert torch.equal(first.distances, second.distances)
    assert torch.equal(first.images, second.images)
    tensors, info = unpack(with_patch_bank.to_bytes())
    older = {
        name: tensor
        for name, tensor in tensors.items()
        if name not in {"memory.owners", "memory.images", "memory.patches"}
    }
    old = Detector.from_bytes(pack(older, info), backbone=tiny_backbone)
    assert old.nearest_patches(tokens, places) is None
    assert old.sha256 == tensors_sha256(older)
    assert torch.equal(old.score(support).maps, again.score(support).maps)


def test_the_place_along_the_series_counts_as_rows_and_columns_do():
    tokens = random_tokens(2)
    settings = PatchBankSettings(place_weight=3.0)
    features = patch_features(tokens, settings, series_places=torch.tensor([0.2, 0.7]))
    joined = join_blocks(tokens)
    here, there = (0, 5), (1, 7)
    cosine = float(joined[here] @ joined[there])
    apart = (1 / 3) ** 2 + (1 / 3) ** 2 + 0.5**2
    distance = float((features[here] - features[there]).norm())
    assert distance == pytest.approx((2 - 2 * (cosine - 3.0 * apart)) ** 0.5, rel=1e-5)


def test_the_same_patch_deviates_more_at_another_place_along_the_series():
    tokens = random_tokens(4)
    ends = torch.tensor([0.0, 1.0, 0.0, 1.0])
    bank = fit_patch_bank(
        tokens,
        GROUPS,
        settings=replace(ALL, place_weight=3.0),
        generator=seeded(0),
        series_places=ends,
    )
    here, there = (bank.deviation(tokens, series_places=at) for at in (ends, 1 - ends))
    assert bool((there > here).all())
    unknown = bank.deviation(tokens, series_places=torch.full((4,), torch.nan))
    middle = bank.deviation(tokens, series_places=torch.full((4,), 0.5))
    assert torch.equal(unknown, middle)
    assert torch.equal(bank.deviation(tokens), middle)


@pytest.fixture(scope="module")
def placed(tiny_backbone, support) -> Detector:
    preset = quicker(
        replace(DEFAULT, memory=PatchBankSettings(place_weight=3.0)),
        pool_images=8,
        updates=2,
        batch=4,
    )
    return Detector.fit(
        support,
        backbone=tiny_backbone,
        preset=preset,
        generator=seeded(1),
        series_places=torch.linspace(0, 1, len(support)),
    )


def test_a_detector_fitted_with_places_along_the_series_scores_by_them(
    placed, tiny_backbone, support
):
    again = Detector.from_bytes(placed.to_bytes(), backbone=tiny_backbone)
    places = torch.linspace(0, 1, len(support))
    own = again.score(support, series_places=places)
    assert torch.equal(own.maps, placed.score(support, series_places=places).maps)
    one_by_one = again.score(support, series_places=places, batch_size=1)
    torch.testing.assert_close(one_by_one.scores, own.scores, rtol=1e-4, atol=1e-5)
    assert bool(
        (again.score(support, series_places=1 - places).scores[[0, -1]] > own.scores[[0, -1]]).all()
    )
    halfway = torch.full((len(support),), 0.5)
    assert torch.equal(again.score(support).maps, again.score(support, series_places=halfway).maps)


def test_a_detector_fitted_without_places_along_the_series_takes_no_account_of_them(
    with_patch_bank, support
):
    places = torch.linspace(0, 1, len(support))
    found = with_patch_bank.score(support, series_places=places)
    assert torch.equal(found.maps, with_patch_bank.score(support).maps)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (torch.tensor([0.5]), "one for each image"),
        (torch.full((6,), 1.5), r"in \[0, 1\]"),
        (torch.ones(6, dtype=torch.int64), "of floats"),
    ],
)
def test_places_that_are_none_are_refused(placed, support, places, message):
    with pytest.raises(ImageInputError, match=message):
        placed.score(support[:6], series_places=places)


def test_whitened_normal_patches_vary_alike_in_every_direction_up_to_the_mean_variance():
    stretched = torch.randn(4, 500, 3, generator=seeded(0)) * torch.tensor([10.0, 1.0, 0.1])
    matrix = whitening_matrix(stretched)
    assert float(matrix.square().sum() / 3) == pytest.approx(1.0, rel=1e-4)
    spread = (stretched @ matrix).flatten(0, 1).std(0)
    mean = (100 + 1 + 0.01) / 3
    ratios = [(v / (v + mean)) ** 0.5 for v in (100.0, 1.0, 0.01)]
    expected = [ratio / ratios[0] for ratio in ratios]
    torch.testing.assert_close(spread / spread[0], torch.tensor(expected), rtol=0.1, atol=1e-3)


def test_a_whitened_bank_looks_patches_up_as_it_was_filled():
    tokens = random_tokens(4)
    settings = PatchBankSettings(place_weight=3.0, whiten=True)
    bank = fit_patch_bank(tokens, GROUPS, settings=settings, generator=seeded(0))
    known, unknown = bank.deviation(tokens), bank.deviation(random_tokens(4, seed=9))
    assert float(known.max()) < float(unknown.min())
    found = bank.nearest(tokens[2:3], torch.tensor([[2, 2]]))
    assert found is not None
    assert (found.images.tolist(), found.places.tolist()) == ([2], [[2, 2]])


def test_identical_support_images_are_whitened_to_numbers():
    tokens = random_tokens(1).expand(4, -1, -1, -1)
    settings = PatchBankSettings(whiten=True)
    bank = fit_patch_bank(tokens, torch.arange(4), settings=settings, generator=seeded(0))
    assert bool(torch.isfinite(bank.deviation(random_tokens(2, seed=3))).all())


def test_patches_without_any_variance_are_left_as_they_are():
    torch.testing.assert_close(whitening_matrix(torch.ones(2, 9, 4)), torch.eye(4))
