"""Names inside OpenVINO that the int8 tower uses; a failure says which code."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.ai_core.backbone.contracts import check_attributes, check_signature, hint

openvino = pytest.importorskip("openvino")

LIBRARY = "openvino"
INT8 = "ai_core/backbone/int8.py"
PROPERTIES = (
    "PERFORMANCE_HINT",
    "INFERENCE_NUM_THREADS",
    "INFERENCE_PRECISION_HINT",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE",
)


@pytest.fixture(scope="module")
def linear():
    """A model with one linear layer, converted as the tower is."""
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    layer = nn.Linear(3, 2)
    decoder = TorchScriptPythonDecoder(layer, example_input=torch.zeros(1, 3))
    frontend = FrontEndManager().load_by_framework("pytorch")
    return layer, frontend.convert(frontend.load(decoder))


def test_the_decoder_takes_a_module_and_an_example():
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    check_signature(
        TorchScriptPythonDecoder.__init__,
        ("pt_module", "graph_element", "example_input"),
        library=LIBRARY,
        used_by=INT8,
    )


def test_a_linear_layer_is_a_product_with_a_constant(linear):
    layer, model = linear
    told = hint(LIBRARY, INT8)
    products = [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    assert len(products) == 1, told
    assert products[0].get_attributes()["transpose_b"], told
    weights = products[0].input_value(1).get_node()
    assert weights.get_type_name() == "Constant", told
    assert tuple(weights.shape) == (2, 3), told
    np.testing.assert_allclose(weights.data, layer.weight.detach().numpy(), err_msg=told)
    check_attributes(
        products[0].input(1), ("replace_source_output",), library=LIBRARY, used_by=INT8
    )


def test_the_operations_for_rounded_weights_are_there():
    from openvino import PartialShape, Type
    from openvino import opset13 as ops

    steps = ops.constant(np.ones((2, 3), dtype=np.int8))
    scaled = ops.multiply(ops.convert(steps, Type.f32), ops.constant(np.ones((2, 1), np.float32)))
    assert scaled.output(0).get_element_type() == Type.f32, hint(LIBRARY, INT8)
    assert PartialShape([-1, 3]).rank.get_length() == 2, hint(LIBRARY, INT8)


def test_the_cpu_knows_the_properties_that_we_set():
    core = openvino.Core()
    known = set(core.get_property("CPU", "SUPPORTED_PROPERTIES"))
    assert set(PROPERTIES) <= known, f"{set(PROPERTIES) - known}: {hint(LIBRARY, INT8)}"


def test_a_request_takes_and_gives_arrays_by_number(linear):
    layer, model = linear
    told = hint(LIBRARY, INT8)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    request.infer({0: x}, share_inputs=True)
    found = request.get_output_tensor(0).data
    expected = layer(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=told)
