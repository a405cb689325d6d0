"""A contract for each family of towers, with random weights: what its tokens are and where."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
import timm.layers
import torch
from torch import Tensor

from ai_core import DEFAULT, Backbone, Detector, DetectorError, WeightsMismatchError
from ai_core.backbone.architecture import (
    CLIP_MEAN,
    CLIP_STD,
    Architecture,
    read_architecture,
)
from ai_core.backbone.timm_tower import enlarge_to_tower
from tests.ai_core.conftest import TINY, quicker, random_backbone, seeded, textured

HALVES = ((0.5,) * 3, (0.5,) * 3)
CLIP = (CLIP_MEAN, CLIP_STD)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Expected:
    """What a family's member is known to be, from its paper or its authors' code."""

    name: str
    family: str
    grid: int
    width: int
    embed_dim: int
    prefix: int
    """Class and register tokens in front of the patches."""
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    prompts: bool = False
    size: int = 224
    patch: int = 16


MEMBERS = [
    Expected("ViT-B-16-SigLIP", "SigLIP", 14, 768, 768, 0, HALVES),
    Expected("ViT-B-32-SigLIP2-256", "SigLIP", 8, 768, 768, 0, HALVES, size=256, patch=32),
    Expected("BiomedCLIP", "timm ViT", 14, 768, 512, 1, CLIP),
    Expected("vit_medium_patch16_gap_256", "timm ViT", 16, 512, 512, 0, CLIP, True, 256),
    Expected("EVA02-B-16", "EVA", 14, 768, 512, 1, CLIP, True),
    Expected("PE-Core-T-16-384", "PE-Core", 24, 192, 512, 1, HALVES, True, 384),
    Expected(
        "MobileCLIP-B", "MobileCLIP", 14, 768, 512, 1, ((0.0,) * 3, (1.0,) * 3), True, patch=1
    ),
    Expected("timm/vit_small_patch14_dinov2", "DINOv2", 16, 384, 384, 1, IMAGENET, patch=14),
    Expected("timm/vit_small_patch14_reg4_dinov2", "DINOv2", 16, 384, 384, 5, IMAGENET, patch=14),
    Expected("RAD-DINO", "DINOv2", 16, 768, 768, 1, ((0.5307,) * 3, (0.2583,) * 3), patch=14),
]

QUICK = "vit_base_patch32_clip_quickgelu_224"
"""A timm trunk with OpenAI's activation, which no name of open_clip's has; by a config file."""

PLAIN_VARIANTS: dict[str, dict[str, Any]] = {
    "Hugging Face text tower": {"text_cfg": {"hf_model_name": "roberta-base"}},
    "another tokenizer": {"text_cfg": {**TINY["text_cfg"], "hf_tokenizer_name": "some/one"}},
    "mean of patches": {
        "vision_cfg": {"pool_type": "avg", "no_ln_pre": True, "final_ln_after_pool": True},
        "text_cfg": {"hf_tokenizer_name": "bert-base-uncased"},
    },
    "captioner": {
        "vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
        "multimodal_cfg": {},
        "custom_text": True,
    },
}
"""open_clip's own ViT with a text half that takes no prompts."""


def named(name: str) -> Architecture:
    found = read_architecture(name, tag=None)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def quick_gelu(tmp_path_factory) -> Backbone:
    vision = {"timm_model_name": QUICK, "timm_pool": "token", "image_size": 224}
    config = {**TINY, "vision_cfg": vision, "custom_text": True, "quick_gelu": True}
    file = tmp_path_factory.mktemp("quick") / "quick.json"
    file.write_text(json.dumps(config))
    return random_backbone(named(str(file)))


def variant(name: str) -> Architecture:
    change = PLAIN_VARIANTS[name]
    vision = {**TINY["vision_cfg"], **change.get("vision_cfg", {})}
    return Architecture(name, {**TINY, **change, "vision_cfg": vision})


@pytest.fixture(scope="module", params=MEMBERS, ids=lambda one: one.name)
def member(request) -> tuple[Expected, Backbone]:
    return request.param, random_backbone(named(request.param.name))


@pytest.fixture(scope="module", params=PLAIN_VARIANTS)
def plain_variant(request) -> Backbone:
    return random_backbone(variant(request.param))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return textured(2, seed=11)


def cell(index: int, grid: int) -> slice:
    """The pixels of 224 that belong to a row or column of patches."""
    return slice(round(index * 224 / grid), round((index + 1) * 224 / grid))


def check_token_order(backbone: Backbone) -> None:
    last = backbone.grid - 1
    places = [(0, 0), (0, last), (last, 0), (last, last), (1, last - 2), (last // 2, 2)]
    image = torch.full((1 + len(places), 3, 224, 224), 0.3)
    for number, (row, column) in enumerate(places, start=1):
        image[number, :, cell(row, backbone.grid), cell(column, backbone.grid)] = 1.0
    tokens = backbone.encode(image).tokens
    moved = (tokens[1:] - tokens[:1]).norm(dim=-1)  # (places, blocks, patches)
    for block in range(len(backbone.blocks)):
        found = [divmod(int(index), backbone.grid) for index in moved[:, block].argmax(-1)]
        assert found == places


def test_a_bright_square_moves_the_token_at_its_place_most(member):
    check_token_order(member[1])


def test_quick_gelu_comes_with_the_name_of_a_timm_trunk(quick_gelu):
    assert quick_gelu.family.describe() == "family timm ViT, timm trunk"
    assert (quick_gelu.grid, quick_gelu.width, quick_gelu.embed_dim) == (7, 768, 32)
    kinds = {type(block.mlp.act) for block in quick_gelu.model.visual.trunk.blocks}
    assert kinds == {timm.layers.QuickGELU}
    check_token_order(quick_gelu)
    check_fit(quick_gelu)


def test_a_bright_square_moves_its_token_in_an_open_clip_tower_without_prompts(plain_variant):
    check_token_order(plain_variant)


@torch.no_grad()
def test_an_open_clip_tower_without_prompts_gives_open_clips_own_stream_and_embedding(
    plain_variant, images
):
    visual = plain_variant.model.visual
    after: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda *seen: after.append(seen[2]))
        for block in visual.transformer.resblocks
    ]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in CLIP)
    try:
        found = visual((images - mean) / std)
    finally:
        for hook in hooks:
            hook.remove()
    embedding = found[0] if isinstance(found, tuple) else found
    encoded = plain_variant.encode(images)
    torch.testing.assert_close(encoded.embedding, embedding, rtol=1e-5, atol=1e-5)
    for place, number in enumerate(plain_variant.blocks):
        expected = after[number - 1][:, 1:]
        torch.testing.assert_close(encoded.tokens[:, place], expected, rtol=1e-5, atol=1e-5)


def test_shape_family_and_colours_are_the_published_ones(member):
    expected, backbone = member
    assert backbone.family.name == expected.family
    assert backbone.family.trunk == "timm"
    assert backbone.family.prompts is expected.prompts
    assert (backbone.grid, backbone.width) == (expected.grid, expected.width)
    assert backbone.embed_dim == expected.embed_dim
    assert backbone.image_size == 224
    trunk = backbone.model.visual.trunk
    assert trunk.patch_embed.img_size == (expected.size, expected.size)
    assert tuple(trunk.patch_embed.patch_size) == (expected.patch, expected.patch)
    assert trunk.num_prefix_tokens == expected.prefix
    found = named(expected.name)
    assert (found.mean, found.std) == expected.colours


@torch.no_grad()
def test_tokens_are_the_residual_stream_after_the_block_without_class_and_registers(member, images):
    expected, backbone = member
    visual = backbone.model.visual
    after: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda *seen: after.append(seen[2]))
        for block in visual.trunk.blocks
    ]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in expected.colours)
    try:
        embedding = visual(enlarge_to_tower((images - mean) / std, visual.trunk.patch_embed))
    finally:
        for hook in hooks:
            hook.remove()
    encoded = backbone.encode(images)
    patches = expected.grid**2
    assert encoded.tokens.shape == (2, 3, patches, expected.width)
    for place, number in enumerate(backbone.blocks):
        stream = after[number - 1]
        assert stream.shape[1] == expected.prefix + patches
        torch.testing.assert_close(
            encoded.tokens[:, place], stream[:, expected.prefix :], rtol=1e-5, atol=1e-5
        )
    assert encoded.embedding.shape == (2, expected.embed_dim)
    torch.testing.assert_close(encoded.embedding, embedding, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_trunk_sees_the_familys_colours(member, images):
    expected, backbone = member
    seen: list[Tensor] = []
    embed = backbone.model.visual.trunk.patch_embed
    hook = embed.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        backbone.encode(images)
    finally:
        hook.remove()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in expected.colours)
    assert seen[0].shape == (2, 3, expected.size, expected.size)
    if expected.size == 224:
        torch.testing.assert_close(seen[0], (images - mean) / std)
    else:
        black = ((0 - mean) / std).expand(2, 3, 1, 1)  # the corner of every picture here
        torch.testing.assert_close(seen[0][:, :, :1, :1], black)


def test_tokens_are_float32_and_an_image_is_encoded_alike_in_any_company(member, images):
    _, backbone = member
    together, alone = backbone.encode(images), backbone.encode(images[1:])
    assert together.tokens.dtype == together.embedding.dtype == torch.float32
    assert backbone.precision == "fp32"
    torch.testing.assert_close(together.tokens[1:], alone.tokens, rtol=1e-4, atol=1e-4)


def test_bf16_agrees_with_float32_and_keeps_the_stream_in_float32(member, images):
    _, backbone = member
    runtime = backbone._runtime
    exact, _ = runtime.run(images, precision="fp32")
    rough, embedding = runtime.run(images, precision="bf16")
    assert rough.dtype == embedding.dtype == torch.float32
    assert float(torch.cosine_similarity(exact, rough, dim=-1).min()) > 0.99
    # values that bfloat16 can't hold: branches are rounded, the stream that they join is not
    assert not torch.equal(rough, rough.bfloat16().float())


def test_the_frozen_projection_of_the_ablation_is_refused_where_there_is_none(member):
    _, backbone = member
    preset = replace(quicker(DEFAULT, pool_images=2, updates=1, batch=2), adapter=False)
    with pytest.raises(DetectorError, match=r"no projection of its own.*preset with adapters"):
        Detector.fit(textured(2, seed=1), backbone=backbone, preset=preset, generator=seeded(7))


def check_fit(backbone: Backbone) -> None:
    preset = quicker(DEFAULT, pool_images=4, updates=2, batch=2, loss_side=28)
    normals = textured(3, seed=1)
    detector = Detector.fit(normals, backbone=backbone, preset=preset, generator=seeded(7))
    scores = detector.score(textured(2, seed=3))
    assert scores.maps.shape == (2, 224, 224)
    assert bool(torch.isfinite(scores.maps).all())
    assert bool(torch.isfinite(scores.scores).all())
    again = Detector.from_bytes(detector.to_bytes(), backbone=backbone)
    assert again.sha256 == detector.sha256
    assert torch.equal(again.score(textured(2, seed=3)).maps, scores.maps)


def test_a_fit_of_a_few_steps_gives_finite_maps_and_reloads(member):
    check_fit(member[1])


def test_a_fit_on_an_open_clip_tower_without_prompts_gives_finite_maps(plain_variant):
    assert not plain_variant.family.prompts
    check_fit(plain_variant)


def test_a_detector_is_refused_on_another_backbone_of_its_family():
    preset = quicker(DEFAULT, pool_images=4, updates=1, batch=2, loss_side=28)
    small = named("timm/vit_small_patch14_dinov2")
    here, other = random_backbone(small), random_backbone(small, seed=6)
    registers = random_backbone(named("timm/vit_small_patch14_reg4_dinov2"))
    saved = Detector.fit(
        textured(2, seed=1), backbone=here, preset=preset, generator=seeded(7)
    ).to_bytes()
    for stranger in (other, registers):
        with pytest.raises(WeightsMismatchError, match="fitted on 'timm/vit_small_patch14_dinov2'"):
            Detector.from_bytes(saved, backbone=stranger)


def test_the_digest_knows_nothing_of_a_text_tower_that_is_left_out():
    one, other = variant("another tokenizer"), variant("Hugging Face text tower")
    assert random_backbone(one).sha256 == random_backbone(other).sha256


@pytest.mark.parametrize(("size", "cells", "seen"), [(256, 16, 256), (384, 27, 378)])
def test_an_enlarged_image_fills_the_patches_exactly(size, cells, seen):
    class Embed:
        img_size, grid_size = (size, size), (cells, cells)

    ramp = torch.linspace(0, 1, 224).expand(1, 3, 224, 224)
    large = enlarge_to_tower(ramp, Embed())
    assert large.shape == (1, 3, size, size)
    centres = (torch.arange(seen) + 0.5) * 224 / seen - 0.5
    inner = slice(8, seen - 8)
    # bicubic is no exact line; a pixel is 0.0045
    torch.testing.assert_close(large[0, 0, 0, inner], centres[inner] / 223, rtol=0, atol=3e-4)
    assert bool((large[..., seen:] == large[..., seen - 1 : seen]).all())


def test_an_image_of_the_towers_size_is_left_as_it_is():
    class Embed:
        img_size, grid_size = (224, 224), (14, 14)

    images = torch.rand(1, 3, 224, 224)
    assert enlarge_to_tower(images, Embed()) is images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["timm/vit_small_patch14_reg4_dinov2", "PE-Core-T-16-384"])
def test_cpu_and_cuda_give_the_same_features_of_a_timm_trunk(name, images):
    here = random_backbone(named(name))
    there = random_backbone(named(name), device=torch.device("cuda"))
    assert there.sha256 == here.sha256
    near, far = here.encode(images), there.encode(images)
    torch.testing.assert_close(far.tokens.cpu(), near.tokens, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(far.embedding.cpu(), near.embedding, rtol=1e-3, atol=1e-3)
