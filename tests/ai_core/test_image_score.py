"""The reported map and the image score, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log

import pytest
import torch

from ai_core import DEFAULT, PAPER, Views
from ai_core.image_score import image_scores, merge_scope, merge_views, reported_map
from ai_core.model.anomaly_map import LogMaps
from tests.ai_core.conftest import seeded


def maps_of(log_odds: torch.Tensor) -> LogMaps:
    sigmoid = torch.nn.functional.logsigmoid
    return LogMaps(normal=sigmoid(-log_odds), anomaly=sigmoid(log_odds))


def test_probability_reports_s_a_itself():
    found = reported_map(maps_of(torch.tensor([[[log(4.0)]]])), preset=PAPER)
    assert float(found) == pytest.approx(0.8, abs=1e-6)


def test_log_odds_reports_the_squashed_quarter():
    found = reported_map(maps_of(torch.tensor([[[log(4.0)]]])), preset=DEFAULT)
    assert float(found) == pytest.approx(1 / (1 + exp(-log(4.0) / 4)), abs=1e-6)


def test_both_scales_rank_pixels_alike_within_0_and_1():
    odds = 8 * torch.randn(1, 16, 16, generator=seeded(0))
    plain, stretched = (reported_map(maps_of(odds), preset=preset) for preset in (PAPER, DEFAULT))
    order = stretched.flatten().argsort()
    assert bool((plain.flatten()[order].diff() >= 0).all())
    for found in (plain, stretched):
        assert found.dtype == torch.float32
        assert 0 <= float(found.min()) < float(found.max()) <= 1


def test_log_odds_keeps_apart_what_probability_rounds_to_one():
    odds = torch.tensor([[[20.0, 25.0]]])
    plain, stretched = (reported_map(maps_of(odds), preset=preset) for preset in (PAPER, DEFAULT))
    assert plain[0, 0, 0] == plain[0, 0, 1]
    assert stretched[0, 0, 0] < stretched[0, 0, 1]


def test_max_is_the_highest_pixel():
    maps = torch.tensor([[[0.1, 0.7], [0.2, 0.3]], [[0.0, 0.0], [0.4, 0.1]]])
    torch.testing.assert_close(image_scores(maps, preset=PAPER), torch.tensor([0.7, 0.4]))


def test_top_mean_is_the_mean_of_the_top_share():
    preset = replace(DEFAULT, top_share=0.5)
    maps = torch.tensor([[[0.1, 0.7], [0.2, 0.3]], [[0.0, 0.0], [0.4, 0.1]]])
    torch.testing.assert_close(image_scores(maps, preset=preset), torch.tensor([0.5, 0.25]))


def test_top_mean_takes_at_least_one_pixel():
    preset = replace(DEFAULT, top_share=1e-9)
    assert image_scores(torch.tensor([[[0.1, 0.7]]]), preset=preset).item() == pytest.approx(0.7)


def test_a_score_is_never_above_its_map():
    for value in torch.rand(50, generator=seeded(1)):
        maps = value.expand(1, 224, 224)
        assert float(image_scores(maps, preset=DEFAULT)) <= float(value)


@pytest.mark.parametrize("preset", [PAPER, DEFAULT], ids=lambda preset: preset.name)
def test_no_map_has_no_score(preset):
    assert image_scores(torch.zeros(0, 224, 224), preset=preset).shape == (0,)


def test_an_image_is_in_scope_if_more_than_half_of_its_views_are():
    in_scope = torch.tensor([True, True, True, False, False, False])
    assert merge_scope(in_scope, views=Views(windows=2)).tolist() == [True, False, False]
    assert merge_scope(in_scope, views=Views(windows=3)).tolist() == [True, False]
    assert merge_scope(in_scope, views=Views()).tolist() == in_scope.tolist()


def test_maps_of_views_are_cut_before_they_are_merged():
    maps = torch.tensor([[[0.9, 0.2]], [[0.3, 0.6]]])
    merged, scores = merge_views(maps, torch.tensor([0.5, 0.6]), views=Views(windows=2))
    torch.testing.assert_close(merged, torch.tensor([[[0.5, 0.6]]]))
    torch.testing.assert_close(scores, torch.tensor([0.6]))
