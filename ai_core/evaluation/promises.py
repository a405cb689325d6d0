"""Operating points measured: rates promised and seen, sensitivity, and the oracle's."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom  # type: ignore[attr-defined]

from ai_core.evaluation.metrics import Bools, Floats
from ai_core.operating_point import OperatingPoint, Rule

FIXED_RATES = (0.05, 0.1, 0.2)
"""Rates at which every operating point is measured, besides the one asked for."""

RELIABILITY_RATES = tuple(n / 50 for n in range(1, 26))
"""Rates of the reliability picture: 2 % to 50 %."""

BAND = 0.95
"""Probability of the binomial band."""


@dataclass(frozen=True, slots=True)
class AtOperatingPoint:
    """Sensitivity and false-positive rate at the threshold from the normals.

    Attributes:
        rate: the false-positive rate asked for.
        promised: the same, or the lowest rate that k normals can promise if that is higher.
        seen: share of normal units above the threshold.
        sensitivity: share of abnormal units above it.
        oracle: sensitivity at the lowest threshold that flags at most the rate promised of the
            tested normals themselves; no method knows it.
        normals: tested normal units.
    """

    rate: float
    promised: float
    seen: float
    sensitivity: float
    oracle: float
    normals: int

    @property
    def band(self) -> tuple[float, float]:
        """Binomial band about the promised rate of as many normals, for one draw."""
        low, high = binom.interval(BAND, self.normals, self.promised)
        return float(low) / self.normals, float(high) / self.normals


def at_operating_point(
    normal_scores: Sequence[float],
    *,
    rate: float,
    scores: Floats,
    abnormal: Bools,
    rule: Rule = "counting",
) -> AtOperatingPoint:
    """Measure the threshold that k normals promise.

    Args:
        normal_scores: of the support units, by something that never saw them.
        rate: the false-positive rate asked for; where k normals can't promise it, the lowest that
            they can is taken.
        scores: of the tested units, shape (N,); -inf for one that is out of scope.
        abnormal: what is true of them, shape (N,).
        rule: that makes p-values of the scores.
    """
    point = OperatingPoint(tuple(normal_scores), rate, rule)
    if not point.calibrated:
        point = OperatingPoint(tuple(normal_scores), point.floor, rule)
    threshold = point.threshold
    assert threshold is not None
    flagged = scores > np.float32(threshold)
    return AtOperatingPoint(
        rate=rate,
        promised=point.false_positive_rate,
        seen=float(flagged[~abnormal].mean()),
        sensitivity=float(flagged[abnormal].mean()),
        oracle=oracle_sensitivity(scores, abnormal, rate=point.false_positive_rate),
        normals=int((~abnormal).sum()),
    )


def oracle_sensitivity(scores: Floats, abnormal: Bools, *, rate: float) -> float:
    """Compute the sensitivity at the lowest threshold that keeps the rate on the tested normals."""
    normal = np.sort(scores[~abnormal])[::-1]
    allowed = math.floor(rate * len(normal) + 1e-9)
    threshold = normal[allowed] if allowed < len(normal) else -np.inf
    return float((scores[abnormal] > threshold).mean())


def reliability(
    normal_scores: Sequence[float],
    *,
    scores: Floats,
    abnormal: Bools,
    rule: Rule = "counting",
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute the shares of normal and of abnormal units whose p-value is within each rate.

    Args:
        normal_scores, scores, abnormal, rule: as in `at_operating_point`.

    Returns:
        Both for each of `RELIABILITY_RATES`.
    """
    point = OperatingPoint(tuple(normal_scores), 0.5, rule)
    p_values = np.array(
        [point.p_value(float(s)) if np.isfinite(s) else 2.0 for s in scores], dtype=np.float64
    )
    normal, odd = p_values[~abnormal], p_values[abnormal]
    return (
        tuple(float((normal <= rate).mean()) for rate in RELIABILITY_RATES),
        tuple(float((odd <= rate).mean()) for rate in RELIABILITY_RATES),
    )
