"""A stream of numbers an image: reproducible, and distributed as it says."""

import math

import pytest
import torch

from ai_core.synthesis.seeded_stream import SeededStream, draw_seeds


def test_a_seed_gives_the_same_numbers_and_another_seed_gives_others() -> None:
    def numbers(seed: int) -> list[float]:
        stream = SeededStream(seed)
        return [stream.uniform() for _ in range(100)]

    assert numbers(5) == numbers(5)
    assert not set(numbers(5)) & set(numbers(6))


def test_seeds_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    def seeds(*counts: int) -> list[int]:
        generator = torch.Generator().manual_seed(0)
        return [int(s) for n in counts for s in draw_seeds(n, generator=generator)]

    assert seeds(12) == seeds(1, 4, 7)
    assert len(set(seeds(12))) == 12


def test_uniform_numbers_fill_their_range_evenly() -> None:
    stream = SeededStream(1)
    numbers = torch.tensor([stream.uniform(2, 4) for _ in range(8000)])
    assert numbers.min() >= 2
    assert numbers.max() < 4
    counts = torch.histc(numbers, bins=10, min=2, max=4)
    assert float(((counts - 800).square() / 800).sum()) < 27.9  # chi-square, 9 degrees, 0.1 %


def test_choices_have_equal_odds() -> None:
    stream = SeededStream(2)
    chosen = [stream.choose("abc") for _ in range(6000)]
    assert all(abs(chosen.count(letter) - 2000) < 150 for letter in "abc")


def test_exponential_and_normal_numbers_have_their_mean_and_deviation() -> None:
    stream = SeededStream(3)
    exponential = torch.tensor([stream.exponential(0.1) for _ in range(8000)])
    assert exponential.min() >= 0
    assert float(exponential.mean()) == pytest.approx(0.1, rel=0.05)
    assert float((exponential > 0.1).float().mean()) == pytest.approx(math.exp(-1), abs=0.02)
    normal = torch.tensor([stream.normal(0.2) for _ in range(8000)])
    assert float(normal.mean()) == pytest.approx(0, abs=0.01)
    assert float(normal.std()) == pytest.approx(0.2, rel=0.05)


def test_coins_fall_either_way_as_often() -> None:
    coins = SeededStream(4).coins(101, 77)
    assert coins.shape == (101, 77)
    assert set(coins.unique().tolist()) == {0, 1}
    assert float(coins.float().mean()) == pytest.approx(0.5, abs=0.02)
