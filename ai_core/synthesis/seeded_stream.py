"""Seeded stream: all random numbers of one synthetic image, from its own seed."""

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

_AT_ONCE = 32
_SEEDS = 2**62


def draw_seeds(count: int, *, generator: torch.Generator) -> Tensor:
    """Draw one seed for each image, in order, int64, shape (count,)."""
    return torch.randint(_SEEDS, (count,), generator=generator)


class SeededStream:
    """A stream of numbers that depends on its seed alone.

    A stream for each image keeps an image's anomaly the same whatever batch it is made in, and
    however often the images before it had to be drawn again.

    Args:
        seed: any number from 0 to 2⁶³ - 1.
    """

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._ready: list[float] = []

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw a number uniformly from [low, high)."""
        if not self._ready:
            numbers = torch.rand(_AT_ONCE, generator=self._generator, dtype=torch.float64)
            self._ready = numbers.tolist()[::-1]
        return low + (high - low) * self._ready.pop()

    def choose(self, options: Sequence[T]) -> T:
        """Draw one of the options, with equal odds."""
        return options[int(self.uniform() * len(options))]

    def exponential(self, mean: float) -> float:
        """Draw a number from the exponential distribution."""
        return -mean * math.log(1 - self.uniform())

    def normal(self, deviation: float) -> float:
        """Draw a number from the normal distribution around 0."""
        length = math.sqrt(-2 * math.log(1 - self.uniform()))
        return deviation * length * math.cos(2 * math.pi * self.uniform())

    def directions(self, *shape: int) -> Tensor:
        """Draw angles in radians, uniform over a full turn, float32."""
        return 2 * math.pi * torch.rand(shape, generator=self._generator)

    def coins(self, height: int, width: int) -> Tensor:
        """Draw a field of zeros and ones with equal odds, uint8, shape (height, width)."""
        count = height * width
        packed = torch.randint(
            256, (-(-count // 8),), generator=self._generator, dtype=torch.uint8
        ).numpy()
        return torch.from_numpy(np.unpackbits(packed, count=count)).view(height, width)
