"""Changes of intensity: Eq. 4."""

from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch

from ai_core.synthesis import OFFICIAL_SYNTHESIS, PAPER_SYNTHESIS, Distribution, IntensitySettings
from ai_core.synthesis.boxes import make_box, window_around
from ai_core.synthesis.filters import gaussian_filter
from ai_core.synthesis.intensity import Change, draw_change, gauss_noise, intensity_change
from ai_core.synthesis.seeded_stream import SeededStream

ndimage: Any = scipy.ndimage  # scipy ships no types
SIZE = 96
BOX = make_box(20, 14, angle=0.5).at(48, 48)
WINDOW = window_around(BOX, margin=8, height=SIZE, width=SIZE)


def change_of(**values: object) -> Change:
    plain = {
        "box": BOX,
        "outline": None,
        "gamma": 0.3,
        "edge_sigma": 0.0,
        "coins": None,
        "noise_sigma": 4.0,
    }
    return Change(**(plain | values))  # type: ignore[arg-type]


def applied(change: Change, settings: IntensitySettings | None = None) -> tuple[torch.Tensor, ...]:
    before = torch.full((1, 1, WINDOW.height, WINDOW.width), 0.5)
    after, mask = intensity_change(
        before, [change], [WINDOW], settings=settings or PAPER_SYNTHESIS.intensity
    )
    return before[0, 0], after[0, 0], mask[0]


def test_the_filter_is_a_gaussian_of_each_fields_own_deviation() -> None:
    fields = torch.zeros(3, 81, 81)
    fields[:, 40, 40] = 1
    filtered = gaussian_filter(fields, sigmas=[0.0, 2.0, 5.0])
    assert torch.equal(filtered[0], fields[0])
    for index, sigma in ((1, 2.0), (2, 5.0)):
        expected = ndimage.gaussian_filter(fields[index].numpy(), sigma, truncate=4.0)
        assert filtered[index].numpy() == pytest.approx(expected, abs=1e-6)


def test_the_filter_leaves_a_constant_alone_up_to_the_edge() -> None:
    field = torch.full((1, 20, 33), 0.7)
    assert torch.allclose(gaussian_filter(field, sigmas=[6.0]), field, atol=1e-6)


def test_the_noise_spans_0_to_1_and_is_smoother_for_a_larger_deviation() -> None:
    coins = torch.stack([SeededStream(0).coins(SIZE, SIZE)] * 2).float()
    noise = gauss_noise(coins, sigmas=[2.0, 7.0])
    assert noise.amin((1, 2)).tolist() == pytest.approx([0, 0])
    assert noise.amax((1, 2)).tolist() == pytest.approx([1, 1])
    steps = noise.diff(dim=2).abs().mean((1, 2))
    assert steps[1] < steps[0] / 2


@pytest.mark.parametrize("gamma", [-0.6, -0.4, 0.4, 0.6])
def test_equation_4_without_texture(gamma: float) -> None:
    before, after, mask = applied(change_of(gamma=gamma))
    assert torch.allclose(after, (before + gamma * mask).clamp(0, 1))
    assert mask.sum() == pytest.approx(np.pi * 20 * 14, rel=0.03)


def test_equation_4_with_texture_lies_between_nothing_and_gamma() -> None:
    before, after, mask = applied(change_of(coins=SeededStream(3).coins(SIZE, SIZE)))
    change = after - before
    assert not change[~mask].any()
    assert float(change.min()) >= 0
    assert float(change.max()) <= 0.3 + 1e-6
    assert float(change[mask].std()) > 0.02


def test_a_soft_edge_reaches_outside_or_only_inside() -> None:
    both = PAPER_SYNTHESIS.intensity
    inside = OFFICIAL_SYNTHESIS.intensity
    change = change_of(edge_sigma=3.0)
    before, after, mask = applied(change, both)
    assert (after - before)[~mask].max() > 0.05
    before, after, mask = applied(change, inside)
    assert not (after - before)[~mask].any()
    assert float((after - before)[mask].min()) < 0.2


@pytest.mark.parametrize(
    ("settings", "sigmas"),
    [
        (PAPER_SYNTHESIS.intensity, {4.0, 7.0}),
        (OFFICIAL_SYNTHESIS.intensity, {4.0, 7.0}),
    ],
    ids=["paper", "official"],
)
def test_gamma_and_noise_follow_the_stated_laws(
    settings: IntensitySettings, sigmas: set[float]
) -> None:
    drawn = [
        draw_change(BOX, settings, SeededStream(seed), height=8, width=8) for seed in range(1000)
    ]
    gammas = np.array([change.gamma for change in drawn])
    assert ((np.abs(gammas) >= 0.4) & (np.abs(gammas) <= 0.6)).all()
    assert abs((gammas > 0).mean() - 0.5) < 0.05
    assert np.abs(gammas).mean() == pytest.approx(0.5, abs=0.006)
    assert {change.noise_sigma for change in drawn} == sigmas
    assert all(change.coins is not None for change in drawn)


def test_shares_of_ellipses_and_flat_changes_are_kept() -> None:
    settings = IntensitySettings(
        ellipse_share=0.25, flat_share=0.75, edge_sigma=Distribution("uniform", 0.5, 4.0)
    )
    drawn = [
        draw_change(BOX, settings, SeededStream(seed), height=8, width=8) for seed in range(1000)
    ]
    assert np.mean([c.outline is None for c in drawn]) == pytest.approx(0.25, abs=0.05)
    assert np.mean([c.coins is None for c in drawn]) == pytest.approx(0.75, abs=0.05)
    assert all(0.5 <= c.edge_sigma <= 4 for c in drawn)
