"""Operating points measured: what is promised, what is seen, and what an oracle would find."""

from __future__ import annotations

import numpy as np
import pytest

from ai_core.evaluation.promises import (
    RELIABILITY_RATES,
    at_operating_point,
    oracle_sensitivity,
    reliability,
)

ABNORMAL = np.array([False] * 10 + [True] * 4)
SCORES = np.array([*range(1, 11), 2, 8.5, 9.5, 11], dtype=np.float32)


def test_the_oracle_flags_at_most_the_rate_of_the_tested_normals() -> None:
    assert oracle_sensitivity(SCORES, ABNORMAL, rate=0.05) == 1 / 4
    assert oracle_sensitivity(SCORES, ABNORMAL, rate=0.1) == 2 / 4
    assert oracle_sensitivity(SCORES, ABNORMAL, rate=0.2) == 3 / 4
    assert oracle_sensitivity(SCORES, ABNORMAL, rate=0.999) == 1


def test_the_band_is_that_of_the_tested_normals_of_one_draw() -> None:
    point = at_operating_point(range(1, 20), rate=0.1, scores=SCORES, abnormal=ABNORMAL)
    assert (point.rate, point.promised, point.normals) == (0.1, 0.1, 10)
    assert point.band == (0.0, 0.3)


def test_the_tail_promises_less_than_counting() -> None:
    normals = [n / 20 for n in range(1, 17)]
    scores = np.array([0.3, 0.7, 0.9, 0.99], dtype=np.float32)
    abnormal = np.array([False, False, True, True])
    counted, tail = (
        at_operating_point(normals, rate=0.03, scores=scores, abnormal=abnormal, rule=rule)
        for rule in ("counting", "tail")
    )
    assert counted.promised == pytest.approx(1 / 17)
    assert tail.promised == 0.03
    assert (counted.sensitivity, tail.sensitivity) == (1, 0.5)


def test_what_is_out_of_scope_is_never_flagged() -> None:
    scores = np.where(ABNORMAL, -np.inf, SCORES).astype(np.float32)
    point = at_operating_point(range(1, 20), rate=0.5, scores=scores, abnormal=ABNORMAL)
    assert (point.sensitivity, point.oracle) == (0, 0)
    within, found = reliability(range(1, 20), scores=scores, abnormal=ABNORMAL)
    assert set(found) == {0.0}
    assert len(within) == len(RELIABILITY_RATES)
    assert list(within) == sorted(within)
