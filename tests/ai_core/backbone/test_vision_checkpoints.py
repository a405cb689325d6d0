"""Weights files of towers without prompts, in every form in which they are published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from structlog.testing import capture_logs
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from ai_core import BackboneUnavailableError, load_backbone
from ai_core.backbone.architecture import build_model, read_architecture
from ai_core.backbone.hub import find_weights
from tests.ai_core.conftest import TINY, seeded

SMALL = "vit_small_patch14_dinov2"
REGISTERS = "vit_small_patch14_reg4_dinov2"

State = dict[str, Tensor]


@torch.no_grad()
def trained(name: str, **options: Any) -> State:
    """A timm model's state with no value at its default."""
    model = timm.create_model(name, num_classes=0, **options)
    generator = seeded(3)
    return {
        key: value + 0.02 * torch.randn(value.shape, generator=generator)
        for key, value in model.state_dict().items()
    }


def as_authors_name_it(state: State) -> State:
    """DINOv2's own names; the class token's position is in the table, with registers, too."""
    found = {**state, "mask_token": torch.zeros(1, 384)}
    if "reg_token" in found:
        place = torch.full((1, 1, 384), 0.25)
        found["register_tokens"] = found.pop("reg_token")
        found["cls_token"] = found["cls_token"] - place
        found["pos_embed"] = torch.cat([place, found["pos_embed"]], dim=1)
    return found


def in_chunks(state: State) -> State:
    """As a training run saves it: blocks in chunks, below the name of the backbone."""
    found = {}
    for key, value in as_authors_name_it(state).items():
        chunked = re.sub(r"^blocks\.(\d+)\.", lambda m: f"blocks.{int(m[1]) // 3}.{m[1]}.", key)
        found[f"backbone.{chunked}"] = value
    return found


def as_transformers_name_it(state: State) -> State:
    """The names of Dinov2Model and Dinov2WithRegistersModel."""
    authors = as_authors_name_it(state)
    found = {
        "embeddings.cls_token": authors["cls_token"],
        "embeddings.mask_token": authors["mask_token"],
        "embeddings.position_embeddings": authors["pos_embed"],
        "embeddings.patch_embeddings.projection.weight": authors["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": authors["patch_embed.proj.bias"],
        "layernorm.weight": authors["norm.weight"],
        "layernorm.bias": authors["norm.bias"],
    }
    if "register_tokens" in authors:
        found["embeddings.register_tokens"] = authors["register_tokens"]
    for number in range(12):
        ours, theirs = f"blocks.{number}.", f"encoder.layer.{number}."
        for end in ("weight", "bias"):
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                found[f"{theirs}{part}.{end}"] = authors[f"{ours}{part}.{end}"]
            found[f"{theirs}attention.output.dense.{end}"] = authors[f"{ours}attn.proj.{end}"]
            three = authors[f"{ours}attn.qkv.{end}"].chunk(3)
            for part, value in zip(("query", "key", "value"), three, strict=True):
                found[f"{theirs}attention.attention.{part}.{end}"] = value.clone()
        for scale in (1, 2):
            found[f"{theirs}layer_scale{scale}.lambda1"] = authors[f"{ours}ls{scale}.gamma"]
    return found


FORMS: dict[str, Callable[[State], State]] = {
    "timm": dict,
    "authors": as_authors_name_it,
    "chunks": in_chunks,
    "transformers": as_transformers_name_it,
    "transformers, as a part": lambda state: {
        f"dinov2.{key}": value for key, value in as_transformers_name_it(state).items()
    },
}


@pytest.fixture(scope="module", params=[SMALL, REGISTERS])
def state_224(request) -> tuple[str, State]:
    return request.param, trained(request.param, img_size=224)


@pytest.mark.parametrize("form", FORMS)
def test_dinov2_is_the_same_tower_under_every_name(tmp_path, state_224, form):
    name, state = state_224
    file = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(FORMS[form](state), file)
    loaded = load_backbone(f"timm/{name}", str(file), device="cpu", precision="fp32")
    found = loaded.model.visual.trunk.state_dict()
    assert found.keys() == state.keys()
    for key, value in state.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=1e-6, msg=key)


@pytest.mark.parametrize("name", [SMALL, REGISTERS])
def test_positions_of_518_pixels_are_resampled_and_that_is_logged(tmp_path, name):
    state = trained(name)
    torch.save(state, tmp_path / "large.pt")
    with capture_logs() as events:
        loaded = load_backbone(f"timm/{name}", str(tmp_path / "large.pt"), device="cpu")
    [event] = [one for one in events if one["event"] == "positions.resampled"]
    assert (event["from_grid"], event["to_grid"]) == (37, 16)
    prefix = 1 if name == SMALL else 0
    expected = resample_abs_pos_embed(state["pos_embed"], [16, 16], num_prefix_tokens=prefix)
    assert torch.equal(loaded.model.visual.trunk.pos_embed, expected)
    assert loaded.trained


def random_state(model: str) -> State:
    architecture = read_architecture(model, tag=None)
    assert architecture is not None
    torch.manual_seed(4)
    return build_model(architecture).state_dict()


def test_a_text_half_that_takes_no_prompts_is_not_read(tmp_path):
    state = random_state("BiomedCLIP")
    file = tmp_path / "open_clip_pytorch_model.bin"
    torch.save(
        {**state, "text.proj.0.weight": torch.zeros(4, 4), "logit_scale": torch.ones(1)}, file
    )
    loaded = load_backbone("BiomedCLIP", str(file), device="cpu")
    assert loaded.family.describe().startswith("family timm ViT, timm trunk, free text vectors")
    same = loaded.model.state_dict()
    assert same.keys() == state.keys()
    assert all(torch.equal(same[key], state[key]) for key in state)


def test_siglip_of_another_resolution_is_refused_with_the_reason(tmp_path):
    state = random_state("ViT-B-32-SigLIP2-256")
    state["visual.trunk.pos_embed"] = torch.zeros(1, 49, 768)
    safetensors.torch.save_file(state, tmp_path / "siglip.safetensors")
    with pytest.raises(BackboneUnavailableError, match=r"7x7 grid, not 8x8.*another resolution"):
        load_backbone("ViT-B-32-SigLIP2-256", str(tmp_path / "siglip.safetensors"), device="cpu")


def test_a_bare_trunk_is_enough_where_nothing_is_behind_it(tmp_path):
    state = random_state("ViT-B-32-SigLIP2-256")
    bare = {key.removeprefix("visual.trunk."): value for key, value in state.items()}
    safetensors.torch.save_file(bare, tmp_path / "trunk.safetensors")
    file = str(tmp_path / "trunk.safetensors")
    loaded = load_backbone("ViT-B-32-SigLIP2-256", file, device="cpu")
    assert torch.equal(loaded.model.visual.trunk.pos_embed, bare["pos_embed"])
    with pytest.raises(BackboneUnavailableError, match="does not hold this model"):
        load_backbone("BiomedCLIP", file, device="cpu")


def test_a_timm_trunk_with_a_text_tower_of_open_clips_own_is_loaded_whole(tmp_path):
    vision = {
        "timm_model_name": "vit_pe_core_tiny_patch16_384",
        "timm_model_pretrained": True,  # nothing is downloaded for it
        "timm_pool": "map",
        "image_size": 384,
    }
    config = {**TINY, "vision_cfg": vision, "custom_text": True}
    (tmp_path / "tiny.json").write_text(json.dumps(config))
    state = random_state(str(tmp_path / "tiny.json"))
    assert "text.token_embedding.weight" in state
    safetensors.torch.save_file(state, tmp_path / "tiny.safetensors")
    loaded = load_backbone(
        str(tmp_path / "tiny.json"), str(tmp_path / "tiny.safetensors"), device="cpu"
    )
    assert loaded.family.prompts
    assert loaded.family.describe() == (
        "family PE-Core, timm trunk, images enlarged to its 384 pixels"
    )
    assert (loaded.grid, loaded.embed_dim) == (24, 32)


@pytest.mark.parametrize(
    ("model", "tag", "known"),
    [
        ("BiomedCLIP", "openai", "microsoft"),
        ("RAD-DINO", "lvd142m", "microsoft"),
        ("timm/vit_small_patch14_dinov2", "openai", "lvd142m"),
    ],
)
def test_an_unknown_tag_names_the_known_one(tmp_path, model, tag, known):
    with pytest.raises(BackboneUnavailableError, match=rf"{tag}.*known tags: {known}"):
        load_backbone(model, tag, device="cpu", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("model", "tag", "repository", "name"),
    [
        (
            "BiomedCLIP",
            "microsoft",
            "microsoft--BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
            "open_clip_pytorch_model.bin",
        ),
        ("RAD-DINO", "microsoft", "microsoft--rad-dino", "model.safetensors"),
        (
            "timm/vit_small_patch14_dinov2",
            "lvd142m",
            "timm--vit_small_patch14_dinov2.lvd142m",
            "model.safetensors",
        ),
    ],
)
def test_cached_weights_are_found_at_the_hubs_place(tmp_path, model, tag, repository, name):
    commit = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / f"models--{repository}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    file = home / "snapshots" / commit / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert find_weights(model=model, tag=tag, cache_dir=tmp_path) == file
