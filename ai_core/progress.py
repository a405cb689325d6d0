"""How a fit tells how far it has come."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FitProgress:
    """How far a fit has come.

    Attributes:
        stage: "encode" while images go through the frozen tower, "train" while weights learn.
        step: steps done in this stage.
        steps: steps of this stage in all.
        loss: the latest loss, or None outside training.
    """

    stage: str
    step: int
    steps: int
    loss: float | None = None


Progress = Callable[[FitProgress], None]
"""Receives a `FitProgress` now and then; runs in the fitting thread."""


def silent(_: FitProgress) -> None:
    """A progress callback that does nothing."""
