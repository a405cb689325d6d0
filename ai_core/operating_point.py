"""Operating point: p-values, threshold and verdict from the scores of normal studies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from ai_core.errors import CalibrationError

Aggregate = Literal["max", "top-mean"]
"""Aggregation of a study's image scores."""


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

    A split-conformal p-value over the scores of k normal studies, none of which was scored by a
    detector that had seen it: p = (1 + number of normal scores ≥ s) / (k + 1). Flagging p ≤ α
    flags a new normal study with a probability of at most α.

    Attributes:
        normal_scores: cross-fitted study scores of the normals, one per study.
        false_positive_rate: α, the rate asked for, in (0, 1).

    Example:
        >>> from ai_core import OperatingPoint
        >>> point = OperatingPoint(tuple(n / 20 for n in range(19)), false_positive_rate=0.05)
        >>> point.threshold, str(point.verdict(0.95)), point.p_value(0.95)
        (0.9, 'abnormal', 0.05)
        >>> str(OperatingPoint((0.1, 0.2), false_positive_rate=0.05).verdict(0.95))
        'undetermined'
    """

    normal_scores: tuple[float, ...]
    false_positive_rate: float

    def __post_init__(self) -> None:
        if not 0 < self.false_positive_rate < 1:
            raise CalibrationError(
                f"the false-positive rate must be between 0 and 1, not {self.false_positive_rate}"
            )
        if not all(math.isfinite(score) for score in self.normal_scores):
            raise CalibrationError("scores of normal studies must be finite numbers")

    @property
    def floor(self) -> float:
        """The lowest rate that k normals can promise: 1 / (k + 1)."""
        return 1 / (len(self.normal_scores) + 1)

    @property
    def calibrated(self) -> bool:
        """True if the requested rate can be promised."""
        return self._tolerated >= 0

    @property
    def threshold(self) -> float | None:
        """A study score strictly above it is abnormal; None where nothing can be promised."""
        if not self.calibrated:
            return None
        return sorted(self.normal_scores, reverse=True)[self._tolerated]

    def p_value(self, score: float) -> float:
        """Compute the conformal p-value of a study score, in [1 / (k + 1), 1].

        Raises:
            CalibrationError: a score that is not finite.
        """
        _check_score(score)
        at_least = sum(normal >= score for normal in self.normal_scores)
        return (1 + at_least) / (len(self.normal_scores) + 1)

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
    def _tolerated(self) -> int:
        """Number of normals that may score as high as a flagged study; -1 below the floor."""
        k = len(self.normal_scores)
        # counted with the very quotients of `p_value`, so that both agree at the last digit
        return sum((1 + n) / (k + 1) <= self.false_positive_rate for n in range(k)) - 1


def normals_needed(rate: float) -> int:
    """Compute the fewest normal studies that can promise a rate: 19 for 5 %, 99 for 1 %.

    Raises:
        CalibrationError: a rate outside (0, 1).

    Example:
        >>> from ai_core import normals_needed
        >>> normals_needed(0.05), normals_needed(0.01)
        (19, 99)
    """
    if not 0 < rate < 1:
        raise CalibrationError(f"the false-positive rate must be between 0 and 1, not {rate}")
    enough = max(1, math.ceil(1 / Fraction(rate)) - 1)
    # 1/3 has no exact float: the rounded quotient decides, as it does for the operating point
    return enough - 1 if enough > 1 and 1 / enough <= rate else enough


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
