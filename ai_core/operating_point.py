"""Operating point: p-values, threshold and verdict from the scores of normal studies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

import numpy as np

from ai_core.errors import CalibrationError
from ai_core.normal_tail import EXTRAPOLATES_BY, EXTRAPOLATES_FROM, NormalTail, log_odds
from ai_core.normal_tail import lowest_rate as lowest_tail_rate

Aggregate = Literal["max", "top-mean"]
"""Aggregation of a study's image scores."""

Rule = Literal["counting", "tail"]
"""Rule that makes a p-value of the scores of normals; "counting" is that of versions before 0.2."""


class Verdict(StrEnum):
    """Verdict on a study.

    Example:
        >>> from ai_core import Verdict
        >>> Verdict("abnormal") is Verdict.ABNORMAL
        True
        >>> [str(verdict) for verdict in Verdict]
        ['abnormal', 'normal', 'undetermined']
    """

    ABNORMAL = "abnormal"
    NORMAL = "normal"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold on the study score that holds a false-positive rate.

    A conformal p-value over the scores of k normal studies, none of which was scored by a head
    that had seen it. "counting" is p = (1 + number of normal scores ≥ s) / (k + 1), the rule of
    versions before 0.2; "tail" fits the highest scores, see `NormalTail`. Flagging p ≤ α flags a
    new normal study with a probability of about α.

    Attributes:
        normal_scores: cross-fitted study scores of the normals, one per study; in [0, 1] for the
            tail, whose x = 4 logit(score).
        false_positive_rate: α, the rate asked for, in (0, 1).
        rule: how a p-value is made from the scores.

    Example:
        >>> from ai_core import OperatingPoint
        >>> point = OperatingPoint(tuple(n / 20 for n in range(1, 17)), false_positive_rate=0.1)
        >>> round(point.threshold, 3), str(point.verdict(0.95)), round(point.p_value(0.95), 3)
        (0.755, 'abnormal', 0.015)
        >>> point.extrapolated(0.95)
        True
        >>> str(OperatingPoint((0.1, 0.2), false_positive_rate=0.05).verdict(0.95))
        'undetermined'
    """

    normal_scores: tuple[float, ...]
    false_positive_rate: float
    rule: Rule = "tail"

    def __post_init__(self) -> None:
        _check_rate(self.false_positive_rate)
        if not all(math.isfinite(score) for score in self.normal_scores):
            raise CalibrationError("scores of normal studies must be finite numbers")

    @property
    def floor(self) -> float:
        """The lowest rate that k normals can promise."""
        return lowest_rate(len(self.normal_scores), rule=self.rule)

    @property
    def calibrated(self) -> bool:
        """True if the requested rate can be promised."""
        if self.rule == "counting":
            return self._tolerated >= 0
        return self.false_positive_rate >= self.floor

    @property
    def threshold(self) -> float | None:
        """A study score strictly above it is abnormal; None where nothing can be promised.

        The tail's is a float32 number, so that a map's pixels compare with it as scores do.
        """
        if not self.calibrated:
            return None
        if self.rule == "counting":
            return sorted(self.normal_scores, reverse=True)[self._tolerated]
        return _tail_threshold(self._tail, self.false_positive_rate)

    def p_value(self, score: float) -> float:
        """Compute the p-value of a study score, in (0, 1].

        Raises:
            CalibrationError: a score that is not finite.
        """
        _check_score(score)
        if self.rule == "tail":
            return self._tail.p_value(log_odds(score))
        at_least = sum(normal >= score for normal in self.normal_scores)
        return (1 + at_least) / (len(self.normal_scores) + 1)

    def extrapolated(self, score: float) -> bool:
        """Return whether a score's p-value is below 1 / (k + 1), which no counting reaches.

        Raises:
            CalibrationError: a score that is not finite.
        """
        return self.p_value(score) < 1 / (len(self.normal_scores) + 1)

    @property
    def threshold_extrapolated(self) -> bool:
        """True if the threshold itself promises less than 1 / (k + 1), by the tail's shape."""
        return self.calibrated and self.false_positive_rate < 1 / (len(self.normal_scores) + 1)

    def verdict(self, score: float) -> Verdict:
        """Decide abnormal or normal; undetermined where the rate can't be promised.

        Raises:
            CalibrationError: a score that is not finite.
        """
        _check_score(score)
        threshold = self.threshold
        if threshold is None:
            return Verdict.UNDETERMINED
        return Verdict.ABNORMAL if score > threshold else Verdict.NORMAL

    @property
    def _tail(self) -> NormalTail:
        return NormalTail.of(map(log_odds, self.normal_scores))

    @property
    def _tolerated(self) -> int:
        """Number of normals that may score as high as a flagged study; -1 below the floor."""
        k = len(self.normal_scores)
        # counted with the very quotients of `p_value`, so that both agree at the last digit
        return sum((1 + n) / (k + 1) <= self.false_positive_rate for n in range(k)) - 1


@dataclass(frozen=True, slots=True)
class DecidingNormal:
    """The normal study without which an operating point would move most.

    Attributes:
        index: its place in `OperatingPoint.normal_scores`.
        score: its score.
        gap: its score less that of the next lower normal.
        threshold_without: threshold of the other normals; None where they can't promise the rate.

    Example:
        >>> from ai_core import OperatingPoint, deciding_normal
        >>> found = deciding_normal(OperatingPoint((*(n / 20 for n in range(1, 16)), 0.95), 0.1))
        >>> found.index, found.score, round(found.gap, 2)
        (15, 0.95, 0.2)
    """

    index: int
    score: float
    gap: float
    threshold_without: float | None


def deciding_normal(point: OperatingPoint) -> DecidingNormal | None:
    """Find the normal that an operating point depends on most; None where it has no threshold.

    Each normal is left out in turn; of equal effects the higher score counts.

    Example:
        >>> from ai_core import OperatingPoint, deciding_normal
        >>> point = OperatingPoint((0.1, 0.2, 0.3, 0.4, 0.9), false_positive_rate=0.2)
        >>> deciding_normal(point).index
        4
    """
    threshold = point.threshold
    if threshold is None or len(point.normal_scores) < 2:
        return None
    scores = point.normal_scores
    order = sorted(range(len(scores)), key=lambda index: -scores[index])

    def moved(index: int) -> float:
        others = scores[:index] + scores[index + 1 :]
        if point.rule == "counting":
            # the next lower one would decide in its place
            return scores[index] - max((s for s in others if s <= scores[index]), default=0.0)
        tail = NormalTail.of(map(log_odds, others))
        return abs(log_odds(_tail_threshold(tail, point.false_positive_rate)) - log_odds(threshold))

    if point.rule == "counting":
        decides = next(index for index in order if scores[index] == threshold)
    else:
        decides = max(order, key=moved)
    without = OperatingPoint(
        scores[:decides] + scores[decides + 1 :], point.false_positive_rate, point.rule
    )
    lower = [scores[index] for index in order[order.index(decides) + 1 :]]
    return DecidingNormal(
        index=decides,
        score=scores[decides],
        gap=scores[decides] - lower[0] if lower else 0.0,
        threshold_without=without.threshold,
    )


def lowest_rate(k: int, *, rule: Rule = "tail") -> float:
    """Compute the lowest false-positive rate that k normals can promise.

    Counting promises 1 / (k + 1). The tail promises a quarter of that from 8 normals on.

    Example:
        >>> from ai_core import lowest_rate
        >>> lowest_rate(4), lowest_rate(9), lowest_rate(9, rule="counting")
        (0.2, 0.025, 0.1)
    """
    return lowest_tail_rate(k) if rule == "tail" else 1 / (k + 1)


def normals_needed(rate: float, *, rule: Rule = "tail") -> int:
    """Compute the fewest normal studies that can promise a rate.

    Raises:
        CalibrationError: a rate outside (0, 1).

    Example:
        >>> from ai_core import normals_needed
        >>> normals_needed(0.2), normals_needed(0.05), normals_needed(0.01)
        (4, 8, 24)
        >>> normals_needed(0.05, rule="counting")
        19
    """
    _check_rate(rate)
    enough = max(1, math.ceil(1 / Fraction(rate)) - 1)
    # 1/3 has no exact float: the rounded quotient decides, as it does for the operating point
    if enough > 1 and 1 / enough <= rate:
        enough -= 1
    if rule == "counting" or enough < EXTRAPOLATES_FROM:
        return enough
    fewest = max(EXTRAPOLATES_FROM, enough // EXTRAPOLATES_BY - 1)
    while lowest_tail_rate(fewest) > rate:
        fewest += 1
    return fewest


def aggregate(scores: Sequence[float], *, method: Aggregate = "max", top: int = 3) -> float:
    """Aggregate image scores to one study score, never above the highest of them.

    Args:
        scores: image scores of one study, at least one.
        method: "max", or "top-mean", the mean of the ``top`` highest.
        top: images that "top-mean" takes.

    Raises:
        CalibrationError: no scores, or one that is not finite.

    Example:
        >>> from ai_core import aggregate
        >>> aggregate([0.25, 0.75, 0.5])
        0.75
        >>> aggregate([0.25, 0.75, 0.5], method="top-mean", top=2)
        0.625
    """
    if not scores or not all(math.isfinite(score) for score in scores):
        raise CalibrationError("a study score needs at least one image score, all of them finite")
    highest = sorted((float(score) for score in scores), reverse=True)
    if method == "max":
        return highest[0]
    taken = highest[: max(1, top)]
    # a mean of equal numbers may round to a neighbour of theirs
    return min(taken[0], max(taken[-1], math.fsum(taken) / len(taken)))


def _check_score(score: float) -> None:
    if not math.isfinite(score):
        raise CalibrationError(f"the score of a study must be a finite number, not {score}")


def _check_rate(rate: float) -> None:
    if not 0 < rate < 1:
        raise CalibrationError(f"the false-positive rate must be between 0 and 1, not {rate}")


def _tail_threshold(tail: NormalTail, rate: float) -> float:
    """Find the largest float32 score in [0, 1] whose p-value is above the rate.

    The bits of floats from 0 to 1 ascend with their values, so the search runs over the bits.
    """

    def promised(bits: int) -> bool:
        return tail.p_value(log_odds(_from_bits(bits))) <= rate

    low, high = 0, int(np.float32(1).view(np.int32))
    if not promised(high):
        return 1.0
    if promised(low):
        return -1.0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if promised(middle) else (middle, high)
    return _from_bits(low)


def _from_bits(bits: int) -> float:
    return float(np.int32(bits).view(np.float32))
