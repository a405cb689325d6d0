"""Which way of running the tower is fastest on this machine, found by a short measurement."""

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.images import IMAGE_SIZE
from ai_core.tower import Precision, Runner

Engine = Literal["torch", "openvino"]
"""What computes the tower."""

AGREEMENT = 0.999
"""Least mean cosine between a way's tokens and those of torch in float32, in every block."""

WORTH = 1.2
"""How much faster than torch in float32 another way has to be: a shared machine's clock lies."""

BATCHES = (1, 2, 4, 8, 16)
"""Batches that are tried, in this order: some CPUs fall off a cliff from one to the next."""

log = structlog.get_logger()

_REPEATS = 2

_WORSE = 1.3
"""Time per image, against the best so far, from which larger batches are not tried."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of running the tower.

    Attributes:
        engine: what computes.
        precision: of its matrix products.
    """

    engine: Engine
    precision: Precision

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


TORCH_FP32 = Way("torch", "fp32")
"""The way that every other one is held against."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A way with the batch that suits it here.

    Attributes:
        way: engine and precision.
        batch: images per call.
        seconds: time per image in that batch; infinite where nothing was measured.
        agreement: mean cosine of its tokens to those of torch in float32, of the worst block.
    """

    way: Way
    batch: int
    seconds: float = math.inf
    agreement: float = 1.0

    def __str__(self) -> str:
        return (
            f"{self.way}, {self.batch} a batch: {self.seconds * 1e3:.0f} ms an image, "
            f"cosine {self.agreement:.6f}"
        )


def measure(
    makers: Mapping[Way, Callable[[], Runner]],
    *,
    seconds: float = 60.0,
    batches: Sequence[int] = BATCHES,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Choice, ...]:
    """Try every way, each in growing batches for as long as that pays and time is left.

    Args:
        makers: makes the runner of a way; the first has to be that of `TORCH_FP32`.
        seconds: time after which no larger batch is begun.
        batches: images per call, ascending.
        clock: tells the time in seconds.

    Returns:
        A choice for every way; those that fail, or do not agree with torch in float32, with
        infinite time and so never chosen.
    """
    end = clock() + seconds
    images = _dummy_images(batches[-1])
    reference: Tensor | None = None
    found = []
    for way, make in makers.items():
        try:
            run = make()
            tokens, _ = run(images[:1])
            reference = tokens if reference is None else reference
            agreement = _agreement(tokens, reference)
            if agreement > AGREEMENT:
                batch, taken = _best_batch(run, images, batches=batches, end=end, clock=clock)
                found.append(Choice(way, batch=batch, seconds=taken, agreement=agreement))
            else:
                found.append(Choice(way, batch=batches[0], agreement=agreement))
        except (RuntimeError, ImportError) as error:
            if way == TORCH_FP32:
                raise
            log.warning("tower_way_failed", way=str(way), reason=str(error).partition("\n")[0])
            found.append(Choice(way, batch=batches[0], agreement=0.0))
    return tuple(found)


def fastest(
    choices: Sequence[Choice],
    *,
    engines: Sequence[Engine],
    precision: Precision | None = None,
) -> Choice | None:
    """The fastest choice of a kind, but torch in float32 unless another is well ahead of it.

    Args:
        choices: what was measured.
        engines: those that may be chosen.
        precision: the one that has to be chosen, or None for any.
    """
    allowed = sorted(
        (
            choice
            for choice in choices
            if math.isfinite(choice.seconds)
            and choice.way.engine in engines
            and precision in (None, choice.way.precision)
        ),
        key=lambda choice: choice.seconds * (1 if choice.way == TORCH_FP32 else WORTH),
    )
    return allowed[0] if allowed else None


def memory_file(folder: Path, *, digest: str, blocks: Sequence[int]) -> Path:
    """Where the choices for this backbone on this machine are kept.

    Args:
        folder: the cache folder.
        digest: of the backbone's architecture and parameters.
        blocks: the tapped blocks.
    """
    machine = [
        platform.machine(),
        str(torch.cpu.get_capabilities().get("cpu_name", "")),
        str(torch.get_num_threads()),
        torch.__version__,
        version("openvino") if find_spec("openvino") else "",
    ]
    key = hashlib.sha256("|".join([digest, str(tuple(blocks)), *machine]).encode()).hexdigest()
    return folder / "mediclip-dicom" / f"tower-{key[:16]}.json"


def remember(file: Path | None, choices: Sequence[Choice]) -> None:
    """Write choices for the next start; a folder that cannot be written is no error."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        partial.write_text(json.dumps([asdict(choice) for choice in choices]), encoding="utf-8")
        partial.replace(file)
    except OSError as error:
        log.warning("tower_measurement_not_kept", file=str(file), reason=str(error))


def recall(file: Path | None, ways: Sequence[Way]) -> tuple[Choice, ...]:
    """Choices that were remembered; none if they do not cover the ways of today, or are damaged."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8")) if file else []
        found = tuple(Choice(**{**values, "way": Way(**values["way"])}) for values in stored)
    except (OSError, ValueError, TypeError, KeyError):
        return ()
    return found if {choice.way for choice in found} >= set(ways) else ()


def _best_batch(
    run: Runner,
    images: Tensor,
    *,
    batches: Sequence[int],
    end: float,
    clock: Callable[[], float],
) -> tuple[int, float]:
    best = (batches[0], float("inf"))
    for batch in batches:
        per_image = min(_seconds(run, images[:batch], clock) for _ in range(_REPEATS)) / batch
        if per_image < best[1]:
            best = (batch, per_image)
        if per_image > _WORSE * best[1] or clock() > end:
            break
    return best


def _seconds(run: Runner, images: Tensor, clock: Callable[[], float]) -> float:
    begun = clock()
    run(images)
    return clock() - begun


def _agreement(tokens: Tensor, reference: Tensor) -> float:
    cosine = F.cosine_similarity(tokens.float(), reference.float(), dim=-1)
    return float(cosine.mean(dim=(0, 2)).min())


def _dummy_images(count: int) -> Tensor:
    """Smooth seeded noise with a spread of about 1, as normalised images have."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 14, 14, generator=generator)
    return F.interpolate(coarse, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")
