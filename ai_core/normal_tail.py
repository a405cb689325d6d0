"""Tail of the normal scores: p-values below and above the highest of k normals.

The highest of k scores is a poor quantile: with 16 normals a single one decides. A power law is
therefore fitted to the excesses of the m highest scores over the one below them.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ai_core.errors import CalibrationError

SCORE_EPSILON = 2.0**-24
"""Distance from 0 and 1 to which a score is moved: half a float32 step below 1."""

LOG_ODDS_STRETCH = 4.0
"""Divides the log-odds before the squashing to a score: at τ = 0.07 they span about ±28, and a
float32 sigmoid is flat beyond ±16."""

SMALLEST_SCALE = 1e-3
"""Least mean excess in log-odds: the highest normals of identical pictures have none at all."""

EXTRAPOLATES_FROM = 8
"""Fewest normals whose tail may promise a rate below 1 / (k + 1)."""

EXTRAPOLATES_BY = 4
"""Factor by which it may: no rate below a quarter of 1 / (k + 1)."""


def log_odds(score: float) -> float:
    """Compute x = 4 logit(score); a score within `SCORE_EPSILON` of 0 or 1 is moved there.

    Raises:
        CalibrationError: a score that is not finite.

    Example:
        >>> from ai_core.normal_tail import log_odds
        >>> log_odds(0.5), round(log_odds(1.0), 1)
        (0.0, 66.5)
    """
    if not math.isfinite(score):
        raise CalibrationError(f"the score of a study must be a finite number, not {score}")
    inside = min(max(score, SCORE_EPSILON), 1 - SCORE_EPSILON)
    return LOG_ODDS_STRETCH * (math.log(inside) - math.log1p(-inside))


def to_score(x: float) -> float:
    """Compute the score of log-odds x, the inverse of `log_odds`, rounded to float32."""
    squashed = x / LOG_ODDS_STRETCH
    if squashed >= 0:
        return float(np.float32(1 / (1 + math.exp(-squashed))))
    grown = math.exp(squashed)
    return float(np.float32(grown / (1 + grown)))


def lowest_rate(k: int) -> float:
    """Return the lowest false-positive rate that the tail of k normals can promise.

    Below `EXTRAPOLATES_FROM` normals it is the floor of counting, 1 / (k + 1); from there on a
    quarter of it.

    Example:
        >>> from ai_core.normal_tail import lowest_rate
        >>> lowest_rate(4), round(lowest_rate(16), 4)
        (0.2, 0.0147)
    """
    floor = 1 / (k + 1)
    return floor / EXTRAPOLATES_BY if k >= EXTRAPOLATES_FROM else floor


@dataclass(frozen=True, slots=True)
class NormalTail:
    """p-values from the log-odds of k normals, sorted descending s1 … sk.

    With m = min(4, max(2, round(k / 4))), u = s(m+1) and sigma = mean(s1 … sm) - u:
    p = (1 + #{si >= x}) / (k + 1) for x <= u, else
    (m + 1) / (k + 1) (1 + (x - u) / (m sigma))^-m, exact for exponential excesses. One normal
    fewer than k is the most that m may be; with a single normal there is no tail and counting
    goes all the way.

    Attributes:
        descending: log-odds of the normals, the highest first.

    Example:
        >>> from ai_core.normal_tail import NormalTail
        >>> tail = NormalTail.of([0.0, 1.0, 2.0, 3.0, 4.0])
        >>> round(tail.p_value(1.0), 3), round(tail.p_value(4.0), 3), round(tail.p_value(20.0), 3)
        (0.833, 0.18, 0.01)
    """

    descending: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> "NormalTail":
        """Sort the log-odds of normals.

        Raises:
            CalibrationError: a value that is not finite.
        """
        ordered = tuple(sorted(map(float, values), reverse=True))
        if not all(map(math.isfinite, ordered)):
            raise CalibrationError("scores of normal studies must be finite numbers")
        return cls(ordered)

    @property
    def k(self) -> int:
        """Number of normals."""
        return len(self.descending)

    @property
    def m(self) -> int:
        """Number of the highest normals that the tail is fitted to."""
        return min(4, max(2, round(self.k / 4)), max(0, self.k - 1))

    @property
    def u(self) -> float:
        """Start of the tail: the highest normal below the m highest; inf where there is none."""
        return self.descending[self.m] if self.m else math.inf

    @property
    def sigma(self) -> float:
        """Mean excess of the m highest over u, at least `SMALLEST_SCALE`."""
        excess = math.fsum(value - self.u for value in self.descending[: self.m])
        return max(SMALLEST_SCALE, excess / self.m)

    def p_value(self, x: float) -> float:
        """Compute the p-value of log-odds x, in (0, 1]."""
        if x <= self.u:
            at_least = sum(value >= x for value in self.descending)
            return (1 + at_least) / (self.k + 1)
        start = (self.m + 1) / (self.k + 1)
        return float(start * (1 + (x - self.u) / (self.m * self.sigma)) ** -self.m)
