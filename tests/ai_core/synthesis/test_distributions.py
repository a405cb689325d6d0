"""Each distribution of a number is the one that it names."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats

from ai_core.errors import PresetError
from ai_core.synthesis import Distribution
from ai_core.synthesis.seeded_stream import SeededStream

stats: Any = scipy.stats  # scipy ships no types


def sample(distribution: Distribution, count: int = 4000, seed: int = 0) -> np.ndarray:
    stream = SeededStream(seed)
    return np.array([distribution.draw(stream) for _ in range(count)])


def test_uniform() -> None:
    numbers = sample(Distribution("uniform", 0.4, 0.6))
    assert stats.kstest(numbers, stats.uniform(0.4, 0.2).cdf).pvalue > 0.01


def test_log_uniform_is_two_to_a_uniform_power() -> None:
    numbers = sample(Distribution("log-uniform", 2**0.5, 4.0))
    assert stats.kstest(np.log2(numbers), stats.uniform(0.5, 1.5).cdf).pvalue > 0.01


def test_either_end() -> None:
    numbers = sample(Distribution("either", 4.0, 7.0))
    assert set(numbers) == {4.0, 7.0}
    assert abs((numbers == 4.0).mean() - 0.5) < 0.03


def test_gamma_is_the_released_codes_and_clipped() -> None:
    wide = sample(Distribution("gamma", 0.0, 10.0))
    assert stats.kstest(wide - 0.03, stats.gamma(2, scale=0.1).cdf).pvalue > 0.01
    clipped = sample(Distribution("gamma", 0.2, 0.6))
    assert (clipped.min(), clipped.max()) == (0.2, 0.6)
    below = stats.gamma(2, loc=0.03, scale=0.1).cdf(0.2)
    assert abs((clipped == 0.2).mean() - below) < 0.03


def test_stretch_is_one_plus_an_exponential_or_its_inverse() -> None:
    numbers = sample(Distribution("stretch", 0.1, 10.0))
    larger = numbers[numbers > 1]
    assert abs(len(larger) / len(numbers) - 0.5) < 0.03
    assert stats.kstest(larger - 1, stats.expon(scale=0.1).cdf).pvalue > 0.01
    assert stats.kstest(1 / numbers[numbers < 1] - 1, stats.expon(scale=0.1).cdf).pvalue > 0.01


@pytest.mark.parametrize("kind", ["uniform", "log-uniform", "either", "gamma", "stretch"])
def test_a_law_of_one_value_gives_it(kind: str) -> None:
    assert sample(Distribution(kind, 1.5, 1.5), 5) == pytest.approx(1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "low", "high", "words"),
    [
        ("cauchy", 0.0, 1.0, "no distribution 'cauchy'"),
        ("uniform", 1.0, 0.0, "swap the ends"),
        ("uniform", math.nan, 1.0, "swap the ends"),
        ("log-uniform", 0.0, 1.0, "above 0"),
    ],
)
def test_a_law_that_makes_no_sense_says_so(kind: str, low: float, high: float, words: str) -> None:
    with pytest.raises(PresetError, match=words):
        Distribution(kind, low, high)  # type: ignore[arg-type]
