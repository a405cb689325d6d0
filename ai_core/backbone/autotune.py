"""Autotuning: a short measurement of the fastest precision and batch size on this CPU."""

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.backbone.names import Precision
from ai_core.backbone.tower import Runner
from ai_core.files import write_text
from ai_core.images import IMAGE_SIZE

AGREEMENT = 0.999
"""Least mean cosine between a precision's tokens and those in float32, in every block."""

WORTH = 1.2
"""Factor by which another precision has to beat float32: timings on shared machines are noisy."""

BATCHES = (1, 2, 4, 8, 16)
"""Batch sizes to try, in this order: on some CPUs the time per image jumps from one to the next."""

log = structlog.get_logger()

_REPEATS = 2

_WORSE = 1.3
"""Time per image, against the best so far, from which larger batches are not tried."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A precision with its fastest batch size on this machine.

    Attributes:
        precision: of the tower's matrix products.
        batch: images per call.
        seconds: time per image in that batch; infinite where nothing was measured.
        agreement: mean cosine of its tokens to those in float32, of the worst block.
    """

    precision: Precision
    batch: int
    seconds: float = math.inf
    agreement: float = 1.0

    def __str__(self) -> str:
        return (
            f"{self.precision}, {self.batch} a batch: {self.seconds * 1e3:.0f} ms an image, "
            f"cosine {self.agreement:.6f}"
        )


def measure(
    makers: Mapping[Precision, Callable[[], Runner]],
    *,
    seconds: float = 60.0,
    batches: Sequence[int] = BATCHES,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Choice, ...]:
    """Try every precision, each in growing batches for as long as that pays and time is left.

    Args:
        makers: makes the runner of a precision; the first has to be that of float32.
        seconds: time after which no larger batch is begun.
        batches: images per call, ascending.
        clock: tells the time in seconds.

    Returns:
        A choice for every precision; those that fail, or do not agree with float32, with
        infinite time and so never chosen.
    """
    end = clock() + seconds
    images = _dummy_images(batches[-1])
    reference: Tensor | None = None
    found = []
    for precision, make in makers.items():
        try:
            run = make()
            tokens, _ = run(images[:1])
            reference = tokens if reference is None else reference
            agreement = _agreement(tokens, reference)
            if agreement > AGREEMENT:
                batch, taken = _best_batch(run, images, batches=batches, end=end, clock=clock)
                found.append(Choice(precision, batch=batch, seconds=taken, agreement=agreement))
            else:
                found.append(Choice(precision, batch=batches[0], agreement=agreement))
        except RuntimeError as error:
            if precision == "fp32":
                raise
            reason = str(error).partition("\n")[0]
            log.warning("precision.failed", precision=precision, reason=reason)
            found.append(Choice(precision, batch=batches[0], agreement=0.0))
    return tuple(found)


def fastest(choices: Sequence[Choice], *, precision: Precision | None = None) -> Choice | None:
    """Return the fastest choice; float32 unless another precision is well ahead.

    Args:
        choices: what was measured.
        precision: the one that has to be chosen, or None for any.
    """
    return min(
        (
            choice
            for choice in choices
            if math.isfinite(choice.seconds) and precision in (None, choice.precision)
        ),
        key=lambda choice: choice.seconds * (1 if choice.precision == "fp32" else WORTH),
        default=None,
    )


def choices_file(folder: Path, *, digest: str, blocks: Sequence[int]) -> Path:
    """Return the file that keeps the choices for this backbone on this machine.

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
    ]
    key = hashlib.sha256("|".join([digest, str(tuple(blocks)), *machine]).encode()).hexdigest()
    return folder / "mediclip-dicom" / f"tower-{key[:16]}.json"


def save_choices(file: Path | None, choices: Sequence[Choice]) -> None:
    """Write choices for the next start; a folder that cannot be written is no error."""
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps([asdict(choice) for choice in choices]))
    except OSError as error:
        log.warning("measurement.not_saved", file=str(file), reason=str(error))


def load_choices(file: Path | None, precisions: Sequence[Precision]) -> tuple[Choice, ...]:
    """Read saved choices; empty if they are damaged or do not cover the precisions."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8")) if file else []
        found = tuple(Choice(**values) for values in stored)
    except (OSError, ValueError, TypeError):
        return ()
    return found if {choice.precision for choice in found} >= set(precisions) else ()


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
    """Draw smooth seeded noise with a deviation of about 1, like normalised images."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 3, 14, 14, generator=generator)
    return F.interpolate(coarse, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear")
