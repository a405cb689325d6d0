"""What the frozen tower gives, held against open_clip itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ai_core import Backbone, DetectorError, ImageInputError, load_backbone
from ai_core.backbone.architecture import CLIP_MEAN, CLIP_STD
from ai_core.backbone.loading import tapped_blocks
from tests.ai_core.conftest import config_of, load_tiny, textured, write_tiny

UNTRAINED_SHA256 = "79d67d863af7c02ae84e14de7e04a2dc806c0dbcc961ac7dcb1feb5b607c1be2"


@pytest.fixture(scope="module")
def images() -> Tensor:
    return textured(3, seed=11)


@pytest.fixture(scope="module", params=["untrained", "CLIP", "CustomTextCLIP", "QuickGELU"])
def any_backbone(
    request, backbone: Backbone, tiny_backbone: Backbone, tmp_path_factory
) -> Backbone:
    if request.param == "untrained":
        return backbone
    if request.param == "CLIP":
        return tiny_backbone
    top: dict[str, Any] = (
        {"custom_text": True} if request.param == "CustomTextCLIP" else {"quick_gelu": True}
    )
    return load_tiny(write_tiny(tmp_path_factory.mktemp("other"), config_of(**top)))


@dataclass
class Streams:
    """The residual stream after every block, class token included, caught by hooks."""

    after: list[Tensor]
    features: Tensor


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (images - mean) / std


@torch.no_grad()
def streams(backbone: Backbone, images: Tensor) -> Streams:
    after: list[Tensor] = []
    blocks = backbone.model.visual.transformer.resblocks
    hooks = [block.register_forward_hook(lambda *seen: after.append(seen[2])) for block in blocks]
    try:
        features = backbone.model.encode_image(normalised(images))
    finally:
        for hook in hooks:
            hook.remove()
    return Streams(after=after, features=features)


def test_tokens_are_the_residual_stream_after_the_tapped_blocks_without_the_class_token(
    any_backbone, images
):
    tokens = any_backbone.encode(images).tokens
    stream = streams(any_backbone, images).after
    assert any_backbone.blocks == (2, 3, 4)
    assert len(stream) == 4
    patches = any_backbone.grid**2
    assert tokens.shape == (3, 3, patches, any_backbone.width)
    for place, block in enumerate(any_backbone.blocks):
        expected = stream[block - 1]
        assert expected.shape == (3, patches + 1, any_backbone.width)
        torch.testing.assert_close(tokens[:, place], expected[:, 1:], rtol=1e-5, atol=1e-5)


def test_tokens_have_not_passed_the_final_norm(any_backbone, images):
    tokens = any_backbone.encode(images).tokens[:, -1]
    with torch.no_grad():
        normed = any_backbone.model.visual.ln_post(tokens)
    assert not torch.allclose(tokens, normed, atol=0.1)


def test_tokens_are_open_clips_own_intermediates(any_backbone, images):
    with torch.no_grad():
        found = any_backbone.model.visual.forward_intermediates(
            normalised(images),
            indices=[1, 2, 3],
            normalize_intermediates=False,
            intermediates_only=True,
            output_fmt="NLC",
        )
    expected = torch.stack(found["image_intermediates"], dim=1)
    torch.testing.assert_close(any_backbone.encode(images).tokens, expected, rtol=1e-5, atol=1e-5)


def test_the_embedding_is_encode_image_and_not_brought_to_unit_length(any_backbone, images):
    embedding = any_backbone.encode(images).embedding
    assert embedding.shape == (3, any_backbone.embed_dim)
    expected = streams(any_backbone, images).features
    torch.testing.assert_close(embedding, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(embedding.norm(dim=-1), torch.ones(3), atol=1e-2)


def test_colours_are_normalised_once_and_by_the_weights_own_figures(tiny_backbone, images):
    with torch.no_grad():
        raw = tiny_backbone.model.encode_image(images)
    assert not torch.allclose(tiny_backbone.encode(images).embedding, raw, atol=1e-2)


def test_chosen_blocks_are_tapped_in_their_order(tiny, images):
    tapped = load_tiny(tiny, blocks=(1, 4))
    stream = streams(tapped, images).after
    tokens = tapped.encode(images).tokens
    assert tapped.blocks == (1, 4)
    torch.testing.assert_close(tokens[:, 0], stream[0][:, 1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tokens[:, 1], stream[3][:, 1:], rtol=1e-5, atol=1e-5)


def test_an_image_is_encoded_alike_in_any_company(any_backbone, images):
    together = any_backbone.encode(images)
    alone = any_backbone.encode(images[1:2])
    torch.testing.assert_close(together.tokens[1:2], alone.tokens, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(together.embedding[1:2], alone.embedding, rtol=1e-5, atol=1e-5)


def test_the_tower_is_frozen_and_in_inference_mode(any_backbone, images):
    model = any_backbone.model
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any_backbone.encode(images).tokens.requires_grad


def test_wrong_images_do_not_reach_the_tower(tiny_backbone):
    with pytest.raises(ImageInputError):
        tiny_backbone.encode(torch.rand(1, 3, 256, 256))


@pytest.mark.parametrize(
    ("depth", "blocks"), [(24, (12, 18, 24)), (12, (6, 9, 12)), (4, (2, 3, 4)), (32, (16, 24, 32))]
)
def test_the_papers_depths_are_scaled_to_the_tower(depth, blocks):
    assert tapped_blocks(depth) == blocks


def test_a_tower_too_shallow_for_three_depths_is_refused():
    with pytest.raises(DetectorError, match="ascending"):
        tapped_blocks(2)


@pytest.mark.parametrize("blocks", [(), (0,), (5,), (3, 2), (2, 2), (-1, 2)])
def test_blocks_that_the_tower_does_not_have_are_refused(tiny, blocks):
    with pytest.raises(DetectorError, match="within 1…4"):
        load_tiny(tiny, blocks=blocks)


@pytest.mark.parametrize("device", ["gpu", "cpu:x", ""])
def test_an_unknown_device_is_refused(device):
    with pytest.raises(DetectorError, match="unknown device"):
        load_backbone(weights="untrained", device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_cuda_device_that_is_not_there_is_refused():
    with pytest.raises(DetectorError, match="sees no CUDA device"):
        load_backbone(weights="untrained", device="cuda")


def test_bf16_gives_float32_that_is_close_and_the_same_digest(tiny, tiny_backbone, images):
    coarse = load_tiny(tiny, precision="bf16")
    exact, rough = tiny_backbone.encode(images), coarse.encode(images)
    assert coarse.sha256 == tiny_backbone.sha256
    assert rough.tokens.dtype == rough.embedding.dtype == torch.float32
    cosine = torch.cosine_similarity(exact.tokens, rough.tokens, dim=-1)
    assert float(cosine.min()) > 0.99
    assert not torch.equal(exact.tokens, rough.tokens)


def test_precision_is_float32_on_the_cpu_unless_asked(tiny_backbone):
    assert tiny_backbone.precision == "fp32"


def test_the_digest_tells_weights_architectures_and_colours_apart(tmp_path, tiny_backbone):
    others = {
        "seed": write_tiny(tmp_path, name="seed", seed=6),
        "gelu": write_tiny(tmp_path, config_of(quick_gelu=True), name="gelu"),
    }
    digests = {load_tiny(other).sha256 for other in others.values()}
    assert len(digests | {tiny_backbone.sha256}) == 3


def test_the_digest_does_not_depend_on_where_the_file_lies(tmp_path, tiny_backbone):
    assert load_tiny(write_tiny(tmp_path, name="elsewhere")).sha256 == tiny_backbone.sha256


def test_the_untrained_tower_has_the_same_bytes_everywhere(backbone):
    # detectors that were fitted on it are refused wherever this differs
    assert backbone.sha256 == UNTRAINED_SHA256
    assert not backbone.trained
    assert (backbone.name, backbone.weights) == ("untrained", "untrained")


def test_another_seed_is_another_untrained_tower(backbone):
    assert load_backbone(weights="untrained", device="cpu", seed=1).sha256 != backbone.sha256


def test_own_weights_count_as_trained(tiny, tiny_backbone):
    assert tiny_backbone.trained
    assert (tiny_backbone.name, tiny_backbone.weights) == ("tiny", str(tiny.weights))
    assert (tiny_backbone.grid, tiny_backbone.width, tiny_backbone.embed_dim) == (7, 64, 32)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cpu_and_cuda_give_the_same_features(tiny, tiny_backbone, images):
    there = load_backbone(str(tiny.config), str(tiny.weights), device="cuda", precision="fp32")
    assert there.sha256 == tiny_backbone.sha256
    here, far = tiny_backbone.encode(images), there.encode(images)
    torch.testing.assert_close(far.tokens.cpu(), here.tokens, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(far.embedding.cpu(), here.embedding, rtol=1e-3, atol=1e-3)
