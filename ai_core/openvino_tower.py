"""The frozen vision tower compiled by OpenVINO, an optional extra for CPUs."""

import importlib.util
import threading
from typing import Any

import torch
from torch import Tensor

from ai_core.images import IMAGE_SIZE
from ai_core.tower import Precision, Runner, Tower, TowerOutput


def openvino_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("openvino") is not None


def compile_tower(tower: Tower, *, precision: Precision) -> Runner:
    """Compile a float32 tower for this machine's CPU; takes seconds, and memory for the weights.

    Args:
        tower: made with precision "fp32", on the CPU.
        precision: in which OpenVINO is to multiply.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    import openvino

    example = torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    count = torch.export.Dim("count", min=1, max=4096)
    program = torch.export.export(tower, (example,), dynamic_shapes=({0: count},))
    converted = openvino.convert_model(program, example_input=(example,))
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        # without this OpenVINO takes bfloat16 wherever the CPU has it
        "INFERENCE_PRECISION_HINT": "f32" if precision == "fp32" else "bf16",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled: Any = openvino.compile_model(converted, "CPU", settings)
    one_at_a_time = threading.Lock()

    def run(x: Tensor) -> TowerOutput:
        with one_at_a_time:
            found = compiled(x.contiguous().numpy())
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    return run
