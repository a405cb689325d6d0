"""The tail of the normal scores: p-values that few normals can promise, and lower ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_core import (
    CalibrationError,
    OperatingPoint,
    Verdict,
    deciding_normal,
    lowest_rate,
    normals_needed,
)
from ai_core.normal_tail import SCORE_EPSILON, SMALLEST_SCALE, NormalTail, log_odds, to_score

values = st.floats(-60, 60)
# a coarse lattice, so that ties between normals and studies are common
coarse = st.integers(-8, 8).map(float)
some_normals = st.one_of(
    st.lists(values, min_size=1, max_size=40), st.lists(coarse, min_size=1, max_size=40)
)
unit = st.floats(0, 1, width=32)


@given(normals=some_normals, x=st.one_of(values, coarse), step=st.floats(0, 30))
def test_p_values_lie_above_0_up_to_1_and_never_rise_with_the_score(normals, x, step):
    tail = NormalTail.of(normals)
    p = tail.p_value(x)
    assert 0 < p <= 1
    assert tail.p_value(x + step) <= p


@given(normals=some_normals, x=st.one_of(values, coarse))
def test_below_the_tail_normals_are_counted(normals, x):
    tail = NormalTail.of(normals)
    if x <= tail.u:
        assert tail.p_value(x) == (1 + sum(n >= x for n in normals)) / (len(normals) + 1)


def test_the_tail_is_the_stated_formula():
    normals = [float(n * n) for n in range(16)]  # k = 16: m = 4
    tail = NormalTail.of(normals)
    assert (tail.k, tail.m, tail.u) == (16, 4, 121.0)
    sigma = (225 + 196 + 169 + 144) / 4 - 121
    assert tail.sigma == sigma
    expected = 5 / 17 * (1 + (300 - 121) / (4 * sigma)) ** -4
    assert tail.p_value(300.0) == pytest.approx(expected)
    # above u, as close as one likes, the m highest and the study itself are left
    assert tail.p_value(math.nextafter(121.0, 122.0)) == pytest.approx(5 / 17)


@pytest.mark.parametrize(
    ("k", "m"),
    [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (7, 2), (8, 2), (11, 3), (12, 3), (16, 4), (99, 4)],
)
def test_the_tail_is_fitted_to_at_most_four_of_the_normals(k, m):
    assert NormalTail.of(range(k)).m == m


def test_without_normals_or_with_one_nothing_is_extrapolated():
    assert NormalTail.of([]).p_value(50.0) == 1.0
    assert NormalTail.of([1.0]).p_value(50.0) == 0.5


@pytest.mark.parametrize("k", range(2, 8))
def test_equal_normals_still_make_p_values(k):
    tail = NormalTail.of([1.5] * k)
    assert tail.sigma == SMALLEST_SCALE
    assert tail.p_value(1.5) == 1.0
    assert 0 < tail.p_value(66.0) < tail.p_value(1.6) < 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_refused(value):
    with pytest.raises(CalibrationError, match="finite"):
        NormalTail.of([0.0, value])
    with pytest.raises(CalibrationError, match="finite"):
        log_odds(value)


def test_scores_of_0_and_1_have_finite_log_odds():
    assert log_odds(1.0) == -log_odds(0.0) == pytest.approx(66.54, abs=0.01)
    assert log_odds(1.0) == log_odds(1 - SCORE_EPSILON)
    assert log_odds(0.5) == 0.0


@given(x=st.floats(-30, 30))
def test_a_score_and_its_log_odds_belong_together(x):
    assert log_odds(to_score(x)) == pytest.approx(x, abs=2e-3)


@given(scores=st.lists(unit, min_size=1, max_size=40), rate=st.floats(0.001, 0.999), score=unit)
def test_a_study_is_flagged_exactly_where_its_p_value_is_within_the_rate(scores, rate, score):
    point = OperatingPoint(tuple(scores), rate)
    assert point.calibrated == (rate >= lowest_rate(len(scores)))
    threshold = point.threshold
    if threshold is None:
        assert point.verdict(score) is Verdict.UNDETERMINED
        return
    assert float(np.float32(threshold)) == threshold
    assert (point.verdict(score) is Verdict.ABNORMAL) == (score > threshold)
    assert (point.p_value(score) <= rate) == (score > threshold)


def test_the_lowest_rate_is_that_of_counting_below_8_normals_and_a_quarter_from_there_on():
    assert [lowest_rate(k) for k in (2, 4, 7)] == [1 / 3, 1 / 5, 1 / 8]
    assert [lowest_rate(k) for k in (8, 16)] == [1 / 36, 1 / 68]
    assert lowest_rate(16, rule="counting") == 1 / 17
    assert OperatingPoint((0.5,) * 8, 0.1).floor == 1 / 36


@given(rate=st.floats(1e-4, 0.999))
def test_the_normals_needed_are_enough_and_the_fewest(rate):
    needed = normals_needed(rate)
    assert lowest_rate(needed) <= rate
    assert needed == 1 or all(lowest_rate(k) > rate for k in range(1, needed)[-9:])


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.1, 8), (0.05, 8), (0.125, 7), (0.2, 4), (0.01, 24)]
)
def test_normals_needed(rate, needed):
    assert normals_needed(rate) == needed


def test_a_p_value_below_that_of_counting_is_extrapolated():
    point = OperatingPoint(tuple(n / 20 for n in range(1, 17)), 0.1)
    assert not point.extrapolated(0.8)
    assert point.extrapolated(0.99)
    assert not point.threshold_extrapolated
    assert OperatingPoint(point.normal_scores, 0.05).threshold_extrapolated


DISTRIBUTIONS = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "exponential": lambda rng, shape: rng.exponential(size=shape),
    "logistic": lambda rng, shape: rng.logistic(size=shape),
    "log-normal": lambda rng, shape: rng.lognormal(0, 0.5, size=shape),
    "Student t, 5": lambda rng, shape: rng.standard_t(5, size=shape),
    "Gumbel": lambda rng, shape: rng.gumbel(size=shape),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_new_normals_are_flagged_about_as_often_as_asked(name):
    rng = np.random.default_rng(7)
    trials, k, rate = 10000, 16, 1 / 17
    draws = DISTRIBUTIONS[name](rng, (trials, k + 1))
    flagged = sum(
        NormalTail.of(normals).p_value(float(new)) <= rate
        for normals, new in zip(draws[:, :k].tolist(), draws[:, k], strict=True)
    )
    assert 0.038 <= flagged / trials <= 0.062, name


def test_scores_with_a_sharp_upper_bound_are_flagged_less_often_than_asked():
    rng = np.random.default_rng(7)
    draws = rng.uniform(size=(4000, 17))
    flagged = sum(NormalTail.of(row[:16]).p_value(row[16]) <= 1 / 17 for row in draws.tolist())
    assert flagged / 4000 <= 1 / 17


def test_the_normal_that_decides_the_threshold_is_named():
    scores = (*(n / 40 for n in range(1, 16)), 0.9)
    found = deciding_normal(OperatingPoint(scores, 0.1))
    assert found is not None
    assert (found.index, found.score) == (15, 0.9)
    assert found.gap == pytest.approx(0.9 - 15 / 40)
    assert found.threshold_without is not None
    threshold = OperatingPoint(scores, 0.1).threshold
    assert threshold is not None
    assert found.threshold_without < threshold


def test_by_counting_the_normal_at_the_threshold_decides():
    found = deciding_normal(OperatingPoint((0.4, 0.1, 0.2, 0.3), 0.2, rule="counting"))
    assert found is not None
    assert (found.index, found.score) == (0, 0.4)
    # three normals can't promise 20 %
    assert found.threshold_without is None


def test_without_a_threshold_nothing_decides():
    assert deciding_normal(OperatingPoint((0.1, 0.2), 0.05)) is None
    assert deciding_normal(OperatingPoint((0.1,), 0.5)) is None
