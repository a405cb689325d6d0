"""Sampling of the entries for each update."""

import torch
from torch import Tensor


class Sampler:
    """Every entry once in each round, in an order drawn anew for every round.

    Args:
        count: entries.
        generator: draws the orders.
    """

    def __init__(self, count: int, *, generator: torch.Generator) -> None:
        self._count = count
        self._generator = generator
        self.rest = torch.empty(0, dtype=torch.int64)

    def take(self, number: int) -> Tensor:
        """Return the next entries, int64, shape (number,)."""
        while len(self.rest) < number:
            order = torch.randperm(self._count, generator=self._generator)
            self.rest = torch.cat([self.rest, order])
        taken, self.rest = self.rest[:number], self.rest[number:].clone()
        return taken
