"""Runtime of the frozen tower: precision, batch size, and recovery from a full device memory."""

import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
from torch import Tensor

from ai_core.backbone.autotune import Choice, fastest, load_choices, measure, save_choices
from ai_core.backbone.cuda_graphs import Replay
from ai_core.backbone.int8 import Int8Tower, missing_for_int8
from ai_core.backbone.names import Precision
from ai_core.backbone.timm_tower import TimmTower
from ai_core.backbone.tower import Runner, Tower, TowerOutput
from ai_core.errors import DetectorError, DeviceMemoryError

CPU_BATCH, CUDA_BATCH = 8, 64
"""Images per call where nothing is measured."""

_FEW = 4
"""Images per call up to which a GPU waits for its next kernel more than it computes."""

_TIMM_INT8 = "int8 is for open_clip's own ViT, not for a timm trunk"

log = structlog.get_logger()


class TowerRuntime:
    """Runs the tower in each requested precision, in batches that suit the machine.

    Precision touches results, so a fitted detector keeps the one of its fit; the batch only
    decides on time. Where the CPU leaves a choice of precision, both are measured at the first
    use and saved in a file, so that neither time nor choice changes at the next start.

    Args:
        visual: the vision half of the model, float32, on its device.
        blocks: the tapped blocks, counted from 1.
        device: where it computes.
        trunk: library of the tower. A timm trunk has no int8, no CUDA graphs and no fused
            residuals; asked for int8 it runs as if nothing was asked for.
        precision: "auto" keeps a detector's own precision and measures for new ones; "int8" keeps
            it too, and is for new ones; any other is used for all of them.
        choices_file: the file in which measured choices are saved; None for no measurement.
    """

    def __init__(
        self,
        visual: Any,
        *,
        blocks: tuple[int, ...],
        device: torch.device,
        trunk: Literal["open_clip", "timm"] = "open_clip",
        precision: Literal["auto"] | Precision = "auto",
        choices_file: Path | None = None,
    ) -> None:
        self._visual = visual
        self._blocks = blocks
        self._device = device
        self._trunk = trunk
        self._asked = precision
        self._choices_file = choices_file
        self._precisions = _precisions(device, precision)
        if trunk == "timm":
            self._leave_out_fast_paths()
        self._timed = tuple(kind for kind in self._precisions if kind != "int8")
        self._lock = threading.RLock()
        self._measured: tuple[Choice, ...] | None = None
        self._runners: dict[Precision, Runner] = {}
        self._replaced = False
        self._limit: int | None = None

    def _leave_out_fast_paths(self) -> None:
        """Leave out the precision that only open_clip's own ViT has, and log it."""
        without = ["cuda graphs", "fused residuals"] if self._device.type == "cuda" else ["int8"]
        log.info("tower.not_accelerated", trunk=self._trunk, without=without)
        if self._asked == "int8":
            log.warning("precision.replaced", recorded="int8", taken="auto", reason=_TIMM_INT8)
            self._asked = "auto"
        self._precisions = tuple(kind for kind in self._precisions if kind != "int8")

    @property
    def precision(self) -> Precision:
        """Precision of new detectors."""
        if self._asked != "auto":
            return self._asked
        if len(self._timed) == 1:
            return self._timed[0]
        if self._device.type == "cuda":
            return "bf16"
        best = fastest(self._choices()) if self._measures else None
        return best.precision if best else "fp32"

    def settle(self, recorded: Precision | None) -> Precision:
        """Return the precision to run in, for a detector that was fitted in the recorded one.

        That one, unless another was asked for by name or the machine has no instructions for
        it: then float32, whose results differ from the recorded ones by the rounding of the other.
        It is logged once.
        """
        if recorded is None:
            return self.precision
        if recorded in self._precisions:
            return recorded
        if self._asked in ("auto", "int8"):
            self._log_replaced(recorded)
        return self._precisions[0]

    @property
    def _measures(self) -> bool:
        several = self._asked == "auto" and len(self._timed) > 1
        return several and self._device.type == "cpu" and self._choices_file is not None

    def choice(self, precision: Precision) -> Choice:
        """Return the batch size for this precision; measure at the first use if needed."""
        default = CUDA_BATCH if self._device.type == "cuda" else CPU_BATCH
        if not self._measures or precision not in self._timed:
            return Choice(precision, batch=default)
        found = fastest(self._choices(), precision=precision)
        return found or Choice(precision, batch=1)

    def batch_size(self, precision: Precision) -> int:
        """Return the images per call in this precision; fewer once the memory has run out."""
        batch = self.choice(precision).batch
        return batch if self._limit is None else min(batch, self._limit)

    def run(self, x: Tensor, *, precision: Precision) -> TowerOutput:
        """Run the tower in batches that suit the machine.

        Args:
            x: normalised images, float32, shape (N, 3, 224, 224), on the device.
            precision: as `settle` gave it.

        Raises:
            DeviceMemoryError: the device's memory is too small for a single image.
        """
        run = self._runner(precision)
        found: TowerOutput | None = None
        at = 0
        while at < len(x) or found is None:
            step = min(self.batch_size(precision), len(x) - at)
            try:
                part = run(x[at : at + step])
                if step == len(x):
                    return part
                # room for all before the next part: putting parts together takes it twice
                found = found or _allocate_output(len(x), part)
                for whole, piece in zip(found, part, strict=True):
                    whole[at : at + step] = piece
                at += step
            except torch.OutOfMemoryError as error:
                self._shrink(step, error)
        return found

    def _shrink(self, step: int, error: torch.OutOfMemoryError) -> None:
        if step == 1:
            raise DeviceMemoryError(
                f"the memory of {self._device} does not hold one image; free some of it, or "
                f"choose another device"
            ) from error
        self._limit = step // 2
        log.warning("batch.halved", device=str(self._device), images=self._limit)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _choices(self) -> tuple[Choice, ...]:
        with self._lock:
            if self._measured is None:
                self._measured = self._load_or_measure()
            return self._measured

    def _load_or_measure(self) -> tuple[Choice, ...]:
        found = load_choices(self._choices_file, self._timed)
        if not found:
            log.info("measurement.started", precisions=self._timed)
            found = measure({kind: partial(self._runner, kind) for kind in self._timed})
            save_choices(self._choices_file, found)
        log.info("measurement.finished", choices=[str(choice) for choice in found])
        return found

    def _runner(self, precision: Precision) -> Runner:
        with self._lock:
            if precision not in self._runners:
                self._runners[precision] = self._make_runner(precision)
            return self._runners[precision]

    def _make_runner(self, precision: Precision) -> Runner:
        if self._trunk == "timm" and precision != "int8":
            return TimmTower(self._visual, blocks=self._blocks, precision=precision).eval()
        if precision != "int8":
            tower = Tower(self._visual, blocks=self._blocks, precision=precision).eval()
            return SmallBatches(tower) if self._device.type == "cuda" else tower
        log.info("tower.compilation_started", precision=precision)
        return Int8Tower(Tower(self._visual, blocks=self._blocks, precision="fp32").eval())

    def _log_replaced(self, recorded: Precision) -> None:
        with self._lock:
            logged, self._replaced = self._replaced, True
        if not logged:
            log.warning(
                "precision.replaced",
                recorded=recorded,
                taken=self._precisions[0],
                reason=_TIMM_INT8
                if self._trunk == "timm" and recorded == "int8"
                else _why_not(self._device, recorded),
            )


def _allocate_output(count: int, part: TowerOutput) -> TowerOutput:
    tokens, embedding = (found.new_empty(count, *found.shape[1:]) for found in part)
    return tokens, embedding


class SmallBatches:
    """A tower on a GPU that replays a CUDA graph for small batches.

    Args:
        tower: runs any batch.
    """

    def __init__(self, tower: Runner) -> None:
        self._tower = tower
        self._replay = Replay(tower)
        self._lock = threading.Lock()

    def __call__(self, x: Tensor) -> TowerOutput:
        """Run the tower on normalised images, float32, shape (N, 3, 224, 224)."""
        usual = torch.cuda.current_stream(x.device) == torch.cuda.default_stream(x.device)
        if len(x) > _FEW or not usual:
            return self._tower(x)
        with self._lock:  # a recording holds one call's images and results
            tokens, embedding = self._replay(x)
            return tokens.clone(), embedding.clone()


def has_bf16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 instructions; emulating them is slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return any(bool(known.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def check_precision(device: torch.device, precision: Literal["auto"] | Precision) -> None:
    """Refuse a precision by name that this device or installation does not have.

    Raises:
        DetectorError: int8 can't be had here; the message says why.
    """
    if precision == "int8" and (reason := missing_for_int8(device)):
        raise DetectorError(f"no tower in int8: {reason}")


def _precisions(device: torch.device, asked: Literal["auto"] | Precision) -> tuple[Precision, ...]:
    """Return the precisions that the tower may run in, float32 first if among them."""
    if asked in ("fp32", "bf16"):
        return (asked,)
    native: tuple[Precision, ...] = ("fp32", "bf16") if has_bf16(device) else ("fp32",)
    return native if missing_for_int8(device) else (*native, "int8")


def _why_not(device: torch.device, precision: Precision) -> str:
    reason = missing_for_int8(device) if precision == "int8" else None
    return reason or f"{device} has no instructions for {precision}"
