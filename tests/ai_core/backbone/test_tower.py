import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ai_core import load_backbone
from ai_core.backbone.tower import Tower, products_of_windows
from tests.ai_core.conftest import TINY, config_of, random_model

BLOCKS = (2, 3, 4)


@pytest.fixture(scope="module")
def visual():
    return load_backbone("untrained", "untrained", device="cpu").model.visual


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def with_quick_gelu():
    """As OpenAI's towers, and with scaled branches as DINOv2's."""
    vision = TINY["vision_cfg"] | {"ls_init_value": 0.5}
    config = config_of(quick_gelu=True, vision_cfg=vision)
    return random_model(config).requires_grad_(requires_grad=False).visual


@pytest.mark.parametrize("name", ["visual", "with_quick_gelu"])
def test_float32_is_what_open_clip_itself_gives(name, images, request):
    visual = request.getfixturevalue(name)
    tokens, embedding = Tower(visual, blocks=BLOCKS, precision="fp32")(images)
    expected = visual.forward_intermediates(
        images,
        indices=[block - 1 for block in BLOCKS],
        normalize_intermediates=False,
        output_fmt="NLC",
    )
    torch.testing.assert_close(tokens, torch.stack(expected["image_intermediates"], dim=1))
    torch.testing.assert_close(embedding, expected["image_features"])


def test_bf16_agrees_with_float32_and_leaves_the_model_as_it_is(visual, images):
    before = {name: value.clone() for name, value in visual.state_dict().items()}
    exact, _ = Tower(visual, blocks=BLOCKS, precision="fp32")(images)
    rough, embedding = Tower(visual, blocks=BLOCKS, precision="bf16")(images)
    assert rough.dtype == embedding.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert F.cosine_similarity(rough, exact, dim=-1).min() > 0.999
    after = visual.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_scales_that_are_multiplied_into_weights_change_nothing(with_quick_gelu, images):
    exact, whole = Tower(with_quick_gelu, blocks=BLOCKS, precision="fp32")(images)
    rough, embedding = Tower(with_quick_gelu, blocks=BLOCKS, precision="bf16")(images)
    assert F.cosine_similarity(rough, exact, dim=-1).min() > 0.999
    assert F.cosine_similarity(embedding, whole, dim=-1).min() > 0.999
    assert (rough - exact).abs().mean() < 0.01 * exact.abs().mean()


def test_a_convolution_without_overlap_is_a_product_of_its_windows(images):
    conv = nn.Conv2d(3, 10, kernel_size=14, stride=14).requires_grad_(requires_grad=False)
    expected = conv(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(products_of_windows(conv, images), expected, rtol=1e-4, atol=1e-5)
