"""CUDA graphs: a repeated step of many kernels, recorded once and replayed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
import torch
from torch import Tensor

T = TypeVar("T")

log = structlog.get_logger()

_WARM_UP = 3
"""Calls before a step is recorded: libraries and optimisers set themselves up in the first ones."""


class Replay(Generic[T]):
    """A step that is recorded as a CUDA graph on a GPU and runs as it is on a CPU.

    Starting a kernel takes the CPU longer than a small one takes the GPU. What is recorded runs
    with the same numbers in the same order; on a CPU nothing is recorded.

    Args:
        step: takes tensors of one device and returns some; always the same work for a shape. It
            neither waits for the GPU nor looks at its results.
    """

    def __init__(self, step: Callable[..., T]) -> None:
        self._step = step
        self._calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._recordings: dict[tuple[torch.Size, ...], _Recording[T]] = {}
        self._records = True

    def __call__(self, *inputs: Tensor) -> T:
        """Run the step; on a GPU the result holds until the next call."""
        if not inputs[0].is_cuda or not self._records:
            return self._step(*inputs)
        shapes = tuple(given.shape for given in inputs)
        with torch.cuda.device(inputs[0].device):
            if shapes in self._recordings:
                return self._recordings[shapes].launch(inputs)
            self._calls[shapes] += 1
            if self._calls[shapes] <= _WARM_UP:
                return self._run_aside(inputs)
            try:
                recording = self._recordings[shapes] = _record(self._step, inputs)
            except RuntimeError as error:
                self._records = False  # what was not recorded was not run either
                log.warning("step.not_recorded", reason=str(error).partition("\n")[0])
                return self._step(*inputs)
            return recording.launch(inputs)

    def _run_aside(self, inputs: Sequence[Tensor]) -> T:
        """Run on a separate stream: autograd would tie a recording to the default one."""
        here = torch.cuda.current_stream()
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            result = self._step(*inputs)
        here.wait_stream(aside)
        return result


@dataclass(frozen=True, slots=True)
class _Recording(Generic[T]):
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: T

    def launch(self, inputs: Sequence[Tensor]) -> T:
        for place, given in zip(self.inputs, inputs, strict=True):
            place.copy_(given)
        self.graph.replay()
        return self.result


def _record(step: Callable[..., T], inputs: Sequence[Tensor]) -> _Recording[T]:
    places = tuple(given.clone() for given in inputs)
    graph = torch.cuda.CUDAGraph()
    # other threads of this process may go on using the GPU meanwhile
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step(*places)
    return _Recording(graph, places, result)
