"""Progress of a fit."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FitProgress:
    """Progress of a fit: its stage, and the steps done.

    Attributes:
        stage: "encode" while images go through the frozen tower, "train" while weights learn.
        step: steps done in this stage.
        steps: steps of this stage in all.
        loss: the latest loss, or None outside training.

    Example:
        >>> from ai_core import FitProgress
        >>> state = FitProgress(stage="train", step=40, steps=160, loss=0.3)
        >>> f"{state.stage}: {state.step / state.steps:.0%}"
        'train: 25%'
    """

    stage: str
    step: int
    steps: int
    loss: float | None = None


class Progress(Protocol):
    """A callable that receives a `FitProgress` now and then; it runs in the fitting thread.

    Example:
        >>> from ai_core import FitProgress, Progress
        >>> def report(state: FitProgress) -> None:
        ...     print(f"{state.stage} {state.step}/{state.steps}")
        >>> progress: Progress = report
        >>> progress(FitProgress("encode", 8, 64))
        encode 8/64
    """

    def __call__(self, progress: FitProgress, /) -> None:
        """Receive the present state of the fit."""


def silent(_: FitProgress) -> None:
    """Ignore progress."""
