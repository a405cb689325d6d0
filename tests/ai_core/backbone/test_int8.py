import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs
from torch.nn import functional as F

from ai_core import Detector, load_backbone
from ai_core.backbone.int8 import Int8Tower, convert, missing_for_int8, round_weights
from ai_core.backbone.runtime import TowerRuntime
from ai_core.backbone.tower import Tower
from ai_core.errors import DetectorError
from tests.ai_core.conftest import seeded, textured

openvino = pytest.importorskip("openvino")

CPU = torch.device("cpu")
VNNI = {"avx512_vnni": True}


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("bundled", "bundled", device="cpu")


@pytest.fixture(scope="module")
def tower(backbone):
    return Tower(backbone.model.visual, blocks=backbone.blocks, precision="fp32").eval()


@pytest.fixture(scope="module")
def rounded(tower):
    return Int8Tower(tower)


@pytest.fixture
def with_vnni(monkeypatch):
    """Without the instructions OpenVINO computes the same, slowly: enough to test with."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: VNNI)


def normalised(count):
    return (textured(count, seed=count) - 0.45) / 0.27


def test_tokens_and_embedding_agree_with_float32_and_are_not_it(tower, rounded):
    x = normalised(3)
    (exact, embedding), (rough, rough_embedding) = tower(x), rounded(x)
    assert rough.dtype == rough_embedding.dtype == torch.float32
    assert rough.shape == exact.shape
    assert not torch.allclose(rough, exact, rtol=1e-4)
    cosine = F.cosine_similarity(rough, exact, dim=-1)
    assert cosine.mean(dim=(0, 2)).min() > 0.999
    assert cosine.min() > 0.98
    assert F.cosine_similarity(rough_embedding, embedding, dim=-1).min() > 0.999


def test_an_image_gives_the_same_in_every_company(rounded):
    x = normalised(5)
    together = rounded(x)[0]
    alone = torch.cat([rounded(image[None])[0] for image in x])
    torch.testing.assert_close(together, alone)
    assert rounded(x[:0])[0].shape == (0, *together.shape[1:])


def test_threads_that_score_at_once_get_their_own_images_tokens(rounded):
    images = normalised(8).split(1)
    expected = [rounded(image)[0] for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: rounded(image)[0], images * 3))
    assert all(map(torch.equal, found, expected * 3))


def test_weights_are_rounded_per_output_channel_to_127_steps_each_side():
    ops = openvino.opset13
    weights = np.array([[1.27, -0.634, 0.0], [0.0, 0.0, 0.0], [-254.0, 3.0, 1.1]], np.float32)
    x = ops.parameter([1, 3], openvino.Type.f32)
    product = ops.matmul(x, ops.constant(weights), False, True)
    # not weights: no constant, or the other way round
    other = ops.matmul(product, ops.constant(np.eye(3, dtype=np.float32)), False, False)
    model = openvino.Model([other], [x])
    assert round_weights(model) == 1
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    columns = [compiled(row[None])[0][0] for row in np.eye(3, dtype=np.float32)]
    expected = np.array([[1.27, -0.63, 0.0], [0.0, 0.0, 0.0], [-254.0, 4.0, 2.0]])
    np.testing.assert_allclose(np.stack(columns, axis=1), expected, rtol=1e-6)


def test_every_linear_layer_of_the_blocks_is_rounded(backbone, tower):
    model = convert(tower)
    assert round_weights(model) == 4 * len(backbone.model.visual.transformer.resblocks)


def test_nobody_is_told_that_it_is_used(tower, monkeypatch):
    telemetry = pytest.importorskip("openvino_telemetry")

    def told(self, *args, **kwargs):
        raise AssertionError("OpenVINO's makers would be told of this")

    monkeypatch.setattr(telemetry.Telemetry, "init", told)
    with pytest.raises(AssertionError, match="would be told"):
        openvino.convert_model(tower, example_input=normalised(1))
    Int8Tower(tower)


def test_what_is_missing_is_said(monkeypatch, with_vnni):
    assert missing_for_int8(CPU) is None
    assert "for the CPU, not for cuda" in (missing_for_int8(torch.device("cuda")) or "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install '.[int8]'" in (missing_for_int8(CPU) or "")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert "VNNI" in (missing_for_int8(CPU) or "")
    with pytest.raises(DetectorError, match=r"no tower in int8: .*VNNI"):
        load_backbone("bundled", "bundled", device="cpu", precision="int8")


def test_int8_is_for_new_detectors_and_others_keep_their_precision(backbone, with_vnni):
    visual, blocks = backbone.model.visual, backbone.blocks
    asked = TowerRuntime(visual, blocks=blocks, device=CPU, precision="int8")
    silent = TowerRuntime(visual, blocks=blocks, device=CPU)
    with capture_logs() as logs:
        assert (asked.precision, silent.precision) == ("int8", "fp32")
        assert (asked.settle(None), silent.settle(None)) == ("int8", "fp32")
        assert (asked.settle("fp32"), silent.settle("int8")) == ("fp32", "int8")
    assert logs == []
    named = TowerRuntime(visual, blocks=blocks, device=CPU, precision="fp32")
    assert named.settle("int8") == "fp32"


def test_where_int8_is_missing_float32_takes_its_place_and_the_log_says_why(backbone, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    runtime = TowerRuntime(backbone.model.visual, blocks=backbone.blocks, device=CPU)
    with capture_logs() as logs:
        assert runtime.settle("int8") == "fp32"
    (told,) = logs
    assert (told["event"], told["recorded"], told["taken"]) == (
        "precision.replaced",
        "int8",
        "fp32",
    )
    assert "VNNI" in told["reason"]


def test_a_detector_fitted_in_int8_scores_the_same_wherever_it_is_loaded(with_vnni, quick):
    fast = load_backbone("bundled", "bundled", device="cpu", precision="int8")
    support = textured(4, seed=1)
    detector = Detector.fit(support, backbone=fast, preset=quick, generator=seeded(0))
    assert detector.info.precision == "int8"
    plain = load_backbone("bundled", "bundled", device="cpu")
    loaded = Detector.from_bytes(detector.to_bytes(), backbone=plain)
    images = textured(3, seed=2)
    expected, found = detector.score(images), loaded.score(images)
    assert torch.equal(found.maps, expected.maps)
    assert torch.equal(found.scores, expected.scores)
