"""How a fit tells how far it has come."""

from dataclasses import dataclass
from typing import Protocol


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


class Progress(Protocol):
    """A callable that receives a `FitProgress` now and then; it runs in the fitting thread."""

    def __call__(self, progress: FitProgress, /) -> None:
        """Receive the present state of the fit."""


def silent(_: FitProgress) -> None:
    """A progress callback that does nothing."""
