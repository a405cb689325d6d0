"""A false-positive rate that holds, from the scores of k normals, by counting them."""

from __future__ import annotations

from functools import partial
from math import sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ai_core import CalibrationError, OperatingPoint, Verdict, aggregate, normals_needed
from tests.ai_core.conftest import seeded

counting = partial(OperatingPoint, rule="counting")
counting_needs = partial(normals_needed, rule="counting")

NINETEEN = tuple(n / 20 for n in range(1, 20))

# a coarse lattice, so that ties between normals and studies are common
scores = st.integers(0, 12).map(lambda n: n / 12)
rates = st.one_of(
    st.floats(1e-6, 1, exclude_max=True),
    st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25, 0.5, 0.9]),
    st.integers(2, 60).map(lambda n: 1 / n),
)


def test_the_threshold_of_19_normals_at_5_percent_is_their_highest_score():
    point = counting(NINETEEN, false_positive_rate=0.05)
    assert point.calibrated
    assert point.threshold == 0.95
    assert point.verdict(0.9500001) is Verdict.ABNORMAL
    assert point.verdict(0.95) is Verdict.NORMAL
    assert point.verdict(0.1) is Verdict.NORMAL


def test_a_higher_rate_lets_normals_lie_above_the_threshold():
    assert counting(NINETEEN, false_positive_rate=0.1).threshold == 0.9
    assert counting(NINETEEN, false_positive_rate=0.149).threshold == 0.9
    assert counting(NINETEEN, false_positive_rate=0.15).threshold == 0.85


def test_the_order_of_the_normals_does_not_matter():
    turned = tuple(reversed(NINETEEN))
    assert counting(turned, 0.1).threshold == counting(NINETEEN, 0.1).threshold


def test_too_few_normals_decide_nothing():
    point = counting(NINETEEN[:18], false_positive_rate=0.05)
    assert not point.calibrated
    assert point.threshold is None
    assert point.verdict(1e9) is Verdict.UNDETERMINED


def test_no_normals_decide_nothing():
    point = counting((), false_positive_rate=0.99)
    assert (point.floor, point.calibrated, point.threshold) == (1.0, False, None)
    assert point.p_value(3.0) == 1.0
    assert point.verdict(3.0) is Verdict.UNDETERMINED


@pytest.mark.parametrize(("k", "floor"), [(1, 1 / 2), (4, 1 / 5), (19, 1 / 20), (99, 1 / 100)])
def test_the_floor_is_one_over_k_plus_one(k, floor):
    assert counting((0.5,) * k, false_positive_rate=0.5).floor == floor


def test_the_floor_itself_can_be_promised_and_less_cannot():
    for k in range(1, 200):
        normals = tuple(n / k for n in range(k))
        floor = 1 / (k + 1)
        assert counting(normals, floor).threshold == normals[-1], k
        assert not counting(normals, floor * 0.999).calibrated, k
        assert counting_needs(floor) == k


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.2, 4), (0.001, 999), (0.5, 1)]
)
def test_counting_needs(rate, needed):
    assert counting_needs(rate) == needed


def test_high_rates_still_need_one_normal():
    assert counting_needs(0.99) == 1


@given(rate=rates)
def test_the_normals_needed_are_enough_and_the_fewest(rate):
    needed = counting_needs(rate)
    assert 1 / (needed + 1) <= rate
    assert needed == 1 or 1 / needed > rate


def test_ties_count_against_the_study():
    point = counting((0.2, 0.5, 0.5, 0.8), false_positive_rate=0.4)
    assert point.p_value(0.5) == 4 / 5
    assert point.p_value(0.50001) == 2 / 5
    assert point.p_value(0.8) == 2 / 5
    assert point.p_value(0.9) == 1 / 5
    assert point.p_value(0.0) == 1.0
    assert point.threshold == 0.5


@given(normals=st.lists(scores, max_size=40), rate=rates, score=scores)
def test_p_values_are_the_counted_share(normals, rate, score):
    point = counting(tuple(normals), false_positive_rate=rate)
    as_high = len([normal for normal in normals if normal >= score])
    assert point.p_value(score) == (as_high + 1) / (len(normals) + 1)
    assert point.floor <= point.p_value(score) <= 1


@given(normals=st.lists(scores, max_size=40), rate=rates, score=scores)
def test_a_study_is_flagged_exactly_where_its_p_value_is_within_the_rate(normals, rate, score):
    point = counting(tuple(normals), false_positive_rate=rate)
    assert point.calibrated == (point.floor <= rate)
    if point.threshold is None:
        assert point.p_value(score) > rate
        assert point.verdict(score) is Verdict.UNDETERMINED
    else:
        assert (point.p_value(score) <= rate) == (score > point.threshold)
        assert (point.verdict(score) is Verdict.ABNORMAL) == (score > point.threshold)


@pytest.mark.parametrize(
    ("k", "rate"), [(19, 0.05), (30, 0.1), (99, 0.01), (50, 0.05), (10, 0.3), (45, 0.07)]
)
@pytest.mark.parametrize("ties", [False, True])
def test_new_normals_are_flagged_no_more_often_than_the_rate(k, rate, ties):
    # exchangeable draws: k normals and one more, many times over
    trials = 4000
    draws = torch.randn(trials, k + 1, generator=seeded(k), dtype=torch.float64)
    if ties:
        draws = draws.mul(2).round()
    flagged = 0
    for *normals, new in draws.tolist():
        point = counting(tuple(normals), false_positive_rate=rate)
        flagged += point.verdict(new) is Verdict.ABNORMAL
    deviation = sqrt(rate * (1 - rate) / trials)
    assert flagged / trials <= rate + 4 * deviation
    if not ties:
        promised = int(rate * (k + 1) + 1e-9) / (k + 1)
        assert flagged / trials >= promised - 4 * deviation


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_a_rate_outside_0_and_1_is_refused(rate):
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        counting((0.5,), false_positive_rate=rate)
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        counting_needs(rate)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(score):
    with pytest.raises(CalibrationError, match="finite"):
        counting((0.5, score), false_positive_rate=0.5)
    with pytest.raises(CalibrationError, match="finite"):
        aggregate([0.5, score])


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_a_study_without_a_finite_score_gets_no_verdict(score):
    point = counting(NINETEEN, false_positive_rate=0.05)
    with pytest.raises(CalibrationError, match="finite"):
        point.verdict(score)
    with pytest.raises(CalibrationError, match="finite"):
        point.p_value(score)


def test_a_study_score_is_its_highest_image_score_or_the_mean_of_the_top():
    assert aggregate([0.1, 0.9, 0.4]) == 0.9
    assert aggregate([0.1, 0.9, 0.4, 0.5], method="top-mean") == pytest.approx(0.6)
    assert aggregate([0.1, 0.9], method="top-mean") == pytest.approx(0.5)
    assert aggregate([0.1, 0.9, 0.4], method="top-mean", top=1) == 0.9


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_a_study_score_is_never_above_its_highest_image_score(found):
    assert aggregate(found) == max(found)
    assert min(found) <= aggregate(found, method="top-mean") <= max(found)


def test_a_study_without_images_has_no_score():
    with pytest.raises(CalibrationError, match="at least one"):
        aggregate([])
