"""The frozen tower with int8 matrix products, by OpenVINO, for CPUs with VNNI instructions.

Weights are rounded to int8 once, per output channel; what meets them is rounded at every call, per
token and 64 channels (OpenVINO's dynamic quantisation). So no calibration images are needed and no
value is clipped. Attention, norms, and the residual stream stay float32.
"""

import importlib.util
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ai_core.backbone.tower import TowerOutput
from ai_core.images import IMAGE_SIZE

if TYPE_CHECKING:
    import openvino

_LARGEST = 127
"""Symmetric int8: -128 is left out."""

_GROUP = 64
"""Channels that share one scale when a token is rounded."""


class Int8Tower:
    """A tower compiled for int8 products, with the interface of `tower.Tower`.

    Args:
        tower: in float32, on the CPU; left as it is.
    """

    def __init__(self, tower: nn.Module) -> None:
        import openvino

        model = convert(tower)
        round_weights(model)
        compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "INFERENCE_PRECISION_HINT": "f32",  # of all that is not a product with weights
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP,
            },
        )
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, x: Tensor) -> TowerOutput:
        """Run the tower on normalised images, float32, shape (N, 3, 224, 224)."""
        with self._lock:  # a request holds one call's results
            self._request.infer({0: x.contiguous().numpy()}, share_inputs=True)
            tokens, embedding = (
                torch.from_numpy(self._request.get_output_tensor(index).data.copy())
                for index in range(2)
            )
        return tokens, embedding


def missing_for_int8(device: torch.device) -> str | None:
    """Return the reason why int8 is not available on this device; None if it is."""
    if device.type != "cpu":
        return f"int8 is for the CPU, not for {device}"
    known = torch.cpu.get_capabilities()
    if not any(known.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")):
        return "this CPU has no instructions for products in int8 (VNNI)"
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed; this package's extra has it: pip install '.[int8]'"
    return None


def convert(tower: nn.Module) -> "openvino.Model":
    """Convert a tower to an OpenVINO model, in float32, for any number of images."""
    # not by openvino.convert_model(), which reports its use to its makers over the network
    from openvino import PartialShape
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    example = torch.zeros(2, 3, IMAGE_SIZE, IMAGE_SIZE)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's, of constants in the trace
        decoder = TorchScriptPythonDecoder(tower, example_input=example)
        frontend = FrontEndManager().load_by_framework("pytorch")
        model = frontend.convert(frontend.load(decoder))
    model.reshape(PartialShape([-1, 3, IMAGE_SIZE, IMAGE_SIZE]))
    return model


def round_weights(model: "openvino.Model") -> int:
    """Replace the weights of a model's linear layers by int8 with a scale per output channel.

    Args:
        model: changed in place.

    Returns:
        How many layers were changed.
    """
    layers = [node for node in model.get_ordered_ops() if _is_linear(node)]
    for layer in layers:
        layer.input(1).replace_source_output(_rounded(layer.input_value(1).get_node().data))
    return len(layers)


def _is_linear(node: Any) -> bool:
    """Return whether a node is a product with weights of shape (out, in)."""
    if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_b"]:
        return False
    weights = node.input_value(1).get_node()
    return weights.get_type_name() == "Constant" and len(weights.shape) == 2


def _rounded(weights: Any) -> Any:
    from openvino import Type
    from openvino import opset13 as ops

    scale = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / _LARGEST, np.finfo("f4").tiny)
    steps = ops.constant(np.rint(weights / scale).astype(np.int8))
    return ops.multiply(ops.convert(steps, Type.f32), ops.constant(scale)).output(0)
