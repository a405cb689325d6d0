import pytest
import torch
from torch.nn import functional as F

from ai_core import load_backbone
from ai_core.tower import Tower

BLOCKS = (2, 3, 4)


@pytest.fixture(scope="module")
def visual():
    return load_backbone("untrained", "untrained", device="cpu").model.visual


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_float32_is_what_open_clip_itself_gives(visual, images):
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
