"""Plain numbers from a torch generator."""

import torch


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A float drawn evenly from [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def integer(low: int, high: int, generator: torch.Generator) -> int:
    """An integer drawn evenly from low…high - 1."""
    return int(torch.randint(low, high, (), generator=generator))
