"""Sides and places of anomalies follow the settings' distributions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats

from ai_core.synthesis import (
    OFFICIAL_SYNTHESIS,
    PAPER_SYNTHESIS,
    Distribution,
    SynthesisSettings,
    Task,
)
from ai_core.synthesis.plans import Plan, draw_plan
from ai_core.synthesis.seeded_stream import SeededStream
from tests.ai_core.synthesis.conftest import BODY_SYNTHESIS

stats: Any = scipy.stats  # scipy ships no types
SIZE = 200


def plans(settings: SynthesisSettings, task: Task, count: int = 800) -> list[Plan]:
    body = np.ones((50, 50), dtype=np.bool_) if settings.place == "body" else None
    return [
        draw_plan(task, settings, SeededStream(seed), height=SIZE, width=SIZE, body=body)
        for seed in range(count)
    ]


@pytest.mark.parametrize(("task", "low", "high"), [("cutpaste", 0.1, 0.6), ("intensity", 0.3, 0.8)])
def test_the_released_codes_upright_boxes_have_uniform_sides(
    task: Task, low: float, high: float
) -> None:
    drawn = plans(OFFICIAL_SYNTHESIS, task)
    for axis in (0, 1):
        sides = [2 * plan.box.extent[axis] / SIZE for plan in drawn]
        assert stats.kstest(sides, stats.uniform(low, high - low).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    "settings", [PAPER_SYNTHESIS, OFFICIAL_SYNTHESIS], ids=["paper", "official"]
)
@pytest.mark.parametrize("task", ["cutpaste", "intensity", "source"])
def test_boxes_lie_wholly_in_the_image_and_are_no_larger_than_the_largest(
    settings: SynthesisSettings, task: Task
) -> None:
    largest = getattr(settings, task).side.high * SIZE / 2
    for plan in plans(settings, task):
        box = plan.box
        assert max(box.extent) <= largest + 1e-6
        assert box.extent[0] <= box.row <= SIZE - 1 - box.extent[0]
        assert box.extent[1] <= box.column <= SIZE - 1 - box.extent[1]


def test_centres_are_spread_evenly_over_where_the_box_fits() -> None:
    drawn = plans(PAPER_SYNTHESIS, "source")
    shares = [
        (plan.box.row - plan.box.extent[0]) / (SIZE - 1 - 2 * plan.box.extent[0]) for plan in drawn
    ]
    assert stats.kstest(shares, stats.uniform(0, 1).cdf).pvalue > 0.01


def test_source_boxes_are_turned_every_way_and_sheared_only_where_asked() -> None:
    def unequal(settings: SynthesisSettings) -> list[float]:
        """How far the axes are from being at right angles."""
        matrices = [plan.box.matrix for plan in plans(settings, "source", 100)]
        return [abs(a * c + b * d) / (np.hypot(a, b) * np.hypot(c, d)) for a, b, c, d in matrices]

    assert max(unequal(PAPER_SYNTHESIS)) < 1e-6
    assert np.mean(unequal(OFFICIAL_SYNTHESIS)) > 0.1
    angles = [
        np.arctan2(plan.box.matrix[1], plan.box.matrix[0]) % np.pi
        for plan in plans(PAPER_SYNTHESIS, "source")
    ]
    assert stats.kstest(angles, stats.uniform(0, np.pi).cdf).pvalue > 0.01


def test_small_lesions_are_drawn_as_often_as_large_ones_where_sides_are_even_on_a_log_scale() -> (
    None
):
    """The area's root is unchanged by the turn."""
    cutpaste = replace(BODY_SYNTHESIS.cutpaste, side=Distribution("log-uniform", 0.05, 0.45))
    drawn = plans(replace(BODY_SYNTHESIS, cutpaste=cutpaste), "cutpaste", 1500)
    areas = np.array([1 / abs(a * d - b * c) for a, b, c, d in (plan.box.matrix for plan in drawn)])
    mean_side = 2 * np.sqrt(areas) / SIZE
    assert np.log(mean_side).mean() == pytest.approx(np.log([0.05, 0.45]).mean(), abs=0.05)
    assert mean_side.min() >= 0.05
    assert mean_side.max() <= 0.45
