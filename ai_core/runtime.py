"""Running the frozen tower as fast as the machine allows, with the same results."""

import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
from torch import Tensor

from ai_core.errors import DetectorError, DeviceMemoryError
from ai_core.measuring import (
    TORCH_FP32,
    Choice,
    Engine,
    Way,
    fastest,
    measure,
    recall,
    remember,
)
from ai_core.openvino_tower import compile_tower, openvino_installed
from ai_core.tower import Precision, Runner, Tower, TowerOutput

CPU_BATCH, CUDA_BATCH = 8, 64
"""Images per call where nothing is measured."""

log = structlog.get_logger()


class TowerRuntime:
    """The tower in every precision that is asked for, each in the engine that is fastest here.

    Precision touches results, so a fitted detector keeps the one of its fit. Engine and batch
    only decide on time. Where the CPU leaves a choice, it is measured at the first use and
    remembered in a file, so that neither time nor choice changes at the next start.

    Args:
        visual: the vision half of an open_clip model, float32, on its device.
        blocks: the tapped blocks, counted from 1.
        device: where it computes.
        precision: "auto" keeps a detector's own precision and measures for new ones; any other
            is used for all of them.
        engine: "auto", or what is to compute.
        memory: the file in which measured choices are remembered; None for no measurement.
    """

    def __init__(
        self,
        visual: Any,
        *,
        blocks: tuple[int, ...],
        device: torch.device,
        precision: Literal["auto"] | Precision = "auto",
        engine: Literal["auto"] | Engine = "auto",
        memory: Path | None = None,
    ) -> None:
        self._visual = visual
        self._blocks = blocks
        self._device = device
        self._asked = precision
        self._memory = memory
        self._precisions = _precisions(device, precision)
        self._engines = _engines(device, engine)
        self._lock = threading.RLock()
        self._measured: tuple[Choice, ...] | None = None
        self._runners: dict[Way, Runner] = {}
        self._limit: int | None = None

    @property
    def precision(self) -> Precision:
        """What new detectors are fitted in."""
        if len(self._precisions) == 1:
            return self._precisions[0]
        if self._device.type == "cuda":
            return "bf16"
        best = fastest(self._choices(), engines=self._engines)
        return best.way.precision if best else "fp32"

    def settle(self, recorded: Precision | None) -> Precision:
        """The precision to run in, for a detector that was fitted in the recorded one.

        That one, unless another was asked for by name or the machine has no instructions for
        it: then float32, whose results lie within rounding of the recorded ones.
        """
        if recorded is None:
            return self.precision
        return recorded if recorded in self._precisions else self._precisions[0]

    def choice(self, precision: Precision) -> Choice:
        """Engine and batch for this precision; measures at the first use if need be."""
        default = CUDA_BATCH if self._device.type == "cuda" else CPU_BATCH
        if self._memory is None or len(self._engines) * len(self._precisions) == 1:
            return Choice(Way(self._engines[0], precision), batch=default)
        found = fastest(self._choices(), engines=self._engines, precision=precision)
        return found or Choice(Way(self._engines[0], precision), batch=1)

    def batch_size(self, precision: Precision) -> int:
        """Images per call in this precision; less once the device's memory has run out."""
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
        run = self._runner(self.choice(precision).way)
        parts: list[TowerOutput] = []
        at = 0
        while at < len(x) or not parts:
            step = min(self.batch_size(precision), len(x) - at)
            try:
                parts.append(run(x[at : at + step]))
                at += step
            except torch.OutOfMemoryError as error:
                self._shrink(step, error)
        if len(parts) == 1:
            return parts[0]
        return torch.cat([tokens for tokens, _ in parts]), torch.cat([last for _, last in parts])

    def _shrink(self, step: int, error: torch.OutOfMemoryError) -> None:
        if step == 1:
            raise DeviceMemoryError(
                f"the memory of {self._device} does not hold one image; free some of it, or "
                f"choose another device"
            ) from error
        self._limit = step // 2
        log.warning("batch_halved", device=str(self._device), images=self._limit)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _choices(self) -> tuple[Choice, ...]:
        with self._lock:
            if self._measured is None:
                self._measured = self._recall_or_measure()
            return self._measured

    def _recall_or_measure(self) -> tuple[Choice, ...]:
        ways = [Way(engine, kind) for engine in self._engines for kind in self._precisions]
        # the reference comes first, whether or not it may be chosen
        ways = [TORCH_FP32, *(way for way in ways if way != TORCH_FP32)]
        found = recall(self._memory, ways)
        if not found:
            log.info("tower_measurement_started", ways=[str(way) for way in ways])
            found = measure({way: partial(self._runner, way) for way in ways})
            remember(self._memory, found)
        log.info("tower_measured", choices=[str(choice) for choice in found])
        return found

    def _runner(self, way: Way) -> Runner:
        with self._lock:
            if way not in self._runners:
                self._runners[way] = self._make(way)
            return self._runners[way]

    def _make(self, way: Way) -> Runner:
        if way.engine == "openvino":
            plain = Tower(self._visual, blocks=self._blocks, precision="fp32").eval()
            return compile_tower(plain, precision=way.precision)
        return Tower(self._visual, blocks=self._blocks, precision=way.precision).eval()


def has_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products in bfloat16; emulating them is slow."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    known = torch.cpu.get_capabilities()
    return any(bool(known.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def _precisions(device: torch.device, asked: Literal["auto"] | Precision) -> tuple[Precision, ...]:
    if asked != "auto":
        return (asked,)
    return ("fp32", "bf16") if has_bf16(device) else ("fp32",)


def _engines(device: torch.device, asked: Literal["auto"] | Engine) -> tuple[Engine, ...]:
    if asked == "openvino" and device.type != "cpu":
        raise DetectorError(f'runtime "openvino" computes on the CPU, not on {device}')
    if asked == "openvino" and not openvino_installed():
        raise DetectorError(
            'runtime "openvino" asked for, but it is not installed: '
            'pip install "mediclip-dicom[openvino]"'
        )
    if asked == "auto" and device.type == "cpu" and openvino_installed():
        return ("torch", "openvino")
    return ("torch",) if asked == "auto" else (asked,)
