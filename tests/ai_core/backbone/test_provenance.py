"""A weights file is never read as another model: its activation and colours are known, or asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from open_clip.transformer import QuickGELU
from torch import Tensor, nn

from ai_core import Backbone, DetectorError, UnknownWeightsError, load_backbone
from ai_core.backbone.architecture import CLIP_MEAN, Architecture, build_model, read_architecture
from ai_core.backbone.checkpoint import load_checkpoint
from tests.ai_core.backbone.test_checkpoint import archive
from tests.ai_core.conftest import TINY, Tiny, config_of, load_tiny, textured

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

HALVES = (0.5, 0.5, 0.5)
LAION = "laion2b_s32b_b82k"
"""A tag of ViT-L-14 with GELU and colours of its own."""


@pytest.fixture
def small(monkeypatch) -> Any:
    """open_clip's ViT-L-14 made small: its name, tags and readings, in milliseconds."""
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-L-14", config_of())
    return build_model(Architecture("ViT-L-14", config_of())).eval()


def save(model: nn.Module, folder: Path, name: str = "own.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    if file.suffix == ".safetensors":
        safetensors.torch.save_file(model.state_dict(), file)
    else:
        torch.save(model.state_dict(), file)
    return file


def load(file: Path, **options: Any) -> Backbone:
    return load_backbone("ViT-L-14", str(file), device="cpu", precision="fp32", **options)


def is_quick(backbone: Backbone) -> bool:
    return any(isinstance(module, QuickGELU) for module in backbone.model.modules())


def mean_of(backbone: Backbone) -> float:
    return round(float(backbone._mean[0, 0, 0, 0]), 4)


@pytest.mark.parametrize("name", ["own.safetensors", "own.bin", "own.pt"])
def test_a_file_that_may_be_one_of_several_tags_is_asked_about(tmp_path, small, name):
    with pytest.raises(UnknownWeightsError, match=r"QuickGELU.*openai.*GELU.*tag=") as caught:
        load(save(small, tmp_path, name))
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize("name", ["own.safetensors", "own.bin", "own.pt"])
def test_a_named_tag_gives_every_container_the_same_tower_as_the_archive(tmp_path, small, name):
    quick = build_model(Architecture("ViT-L-14", config_of(quick_gelu=True))).eval()
    quick.load_state_dict(small.state_dict())
    archive(quick, tmp_path / "archive.pt")
    from_archive = load(tmp_path / "archive.pt")
    from_file = load(save(small, tmp_path, name), tag="openai")
    assert is_quick(from_archive)
    assert is_quick(from_file)
    assert from_archive.sha256 == from_file.sha256
    images = textured(1, seed=3)
    assert torch.equal(from_archive.encode(images).tokens, from_file.encode(images).tokens)


def test_an_archive_that_computes_gelu_is_asked_about_its_colours_alone(tmp_path, small):
    archive(small, tmp_path / "archive.pt")
    with pytest.raises(UnknownWeightsError) as caught:
        load(tmp_path / "archive.pt")
    assert "QuickGELU" not in str(caught.value)
    assert not is_quick(load(tmp_path / "archive.pt", tag=LAION))


def test_a_tags_colours_stay_with_its_file(tmp_path, small):
    loaded = load(save(small, tmp_path), tag=LAION)
    assert (is_quick(loaded), mean_of(loaded)) == (False, 0.5)


def test_a_file_in_the_hubs_cache_is_known_by_its_repository(tmp_path, small):
    home = tmp_path / "models--timm--vit_large_patch14_clip_224.openai" / "snapshots" / "0123"
    assert is_quick(load(save(small, home, "open_clip_model.safetensors")))
    home = tmp_path / "models--laion--CLIP-ViT-L-14-laion2B-s32B-b82K" / "snapshots" / "0123"
    loaded = load(save(small, home, "open_clip_model.safetensors"))
    assert (is_quick(loaded), mean_of(loaded)) == (False, 0.5)


def test_a_published_name_counts_where_it_names_its_tag(tmp_path, small):
    assert not is_quick(load(save(small, tmp_path, "vit_l_14-laion400m_e32-3d133497.pt")))
    with pytest.raises(UnknownWeightsError):
        load(save(small, tmp_path, "ViT-L-14.pt"))


def test_the_config_next_to_a_file_decides(tmp_path, small):
    file = save(small, tmp_path)
    config = {
        "model_cfg": config_of(quick_gelu=True),
        "preprocess_cfg": {"mean": HALVES, "std": HALVES},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    loaded = load(file)
    assert (is_quick(loaded), mean_of(loaded)) == (True, 0.5)
    other = {**TINY["vision_cfg"], "layers": 3}
    config["model_cfg"] = config_of(quick_gelu=True, vision_cfg=other)
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UnknownWeightsError):
        load(file)


def test_metadata_of_a_file_decide(tmp_path, small):
    config = {"model_cfg": config_of(), "preprocess_cfg": {"mean": HALVES, "std": HALVES}}
    file = tmp_path / "own.safetensors"
    safetensors.torch.save_file(
        small.state_dict(), file, metadata={"open_clip_config": json.dumps(config)}
    )
    loaded = load(file)
    assert (is_quick(loaded), mean_of(loaded)) == (False, 0.5)


@pytest.mark.parametrize(("act", "quick"), [("quick_gelu", True), ("gelu", False)])
def test_configs_of_transformers_decide(tmp_path, small, act, quick):
    vision = {"hidden_act": act, "num_hidden_layers": 4, "hidden_size": 64, "patch_size": 32}
    (tmp_path / "config.json").write_text(json.dumps({"vision_config": vision}))
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": HALVES, "image_std": HALVES})
    )
    loaded = load(save(small, tmp_path, "model.safetensors"))
    assert (is_quick(loaded), mean_of(loaded)) == (quick, 0.5)


def test_the_colours_of_a_config_file_reach_the_tower(tmp_path, tiny: Tiny):
    colours = {"mean": HALVES, "std": HALVES}
    config = tmp_path / "tiny.json"
    config.write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": colours}))
    own = load_tiny(Tiny(tmp_path, config, tiny.weights, tiny.model))
    plain = load_tiny(tiny)
    clip_mean, clip_std = (plain._mean, plain._std)
    images = textured(1, seed=3).clamp(0.1, 0.4)
    as_clip_sees_it = (images - 0.5) / 0.5 * clip_std + clip_mean
    torch.testing.assert_close(
        own.encode(images).tokens,
        plain.encode(as_clip_sees_it.clamp(0, 1)).tokens,
        rtol=1e-3,
        atol=1e-3,
    )
    assert own.sha256 != plain.sha256
    assert load_tiny(Tiny(tmp_path, config, tiny.weights, tiny.model), tag="earlier").sha256 == (
        plain.sha256
    )


def test_the_tag_earlier_reads_every_file_as_version_0_1_did(tmp_path, small):
    loaded = load(save(small, tmp_path), tag="earlier")
    assert (is_quick(loaded), mean_of(loaded)) == (False, round(CLIP_MEAN[0], 4))


def test_tags_that_mean_nothing_are_refused(tmp_path, tiny, small):
    file = save(small, tmp_path)
    with pytest.raises(DetectorError, match=r"'opnai' is no tag of 'ViT-L-14'.*openai"):
        load(file, tag="opnai")
    with pytest.raises(DetectorError, match="a config says itself"):
        load_tiny(tiny, tag="openai")
    with pytest.raises(DetectorError, match=r"'openai' is for a weights file"):
        load_backbone("ViT-L-14", "dfn2b", device="cpu", cache_dir=tmp_path, tag="openai")


def test_a_model_whose_tags_agree_is_not_asked_about(tmp_path):
    architecture = read_architecture("ViT-L-14-336", tag=None)
    assert architecture is not None
    small = Architecture("ViT-L-14-336", config_of(), readings=architecture.readings)
    file = save(build_model(small), tmp_path)
    found, model = load_checkpoint(file, small)
    assert found.config["quick_gelu"] is True
    assert any(isinstance(module, QuickGELU) for module in model.modules())


# names of other libraries and wrappers -----------------------------------------------------------


def as_transformers_name_it(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of transformers' CLIPModel, written down from its own parameter list."""
    found: dict[str, Tensor] = {
        "logit_scale": state["logit_scale"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "text_model.embeddings.position_ids": torch.arange(77)[None],
        "text_model.final_layer_norm.weight": state["ln_final.weight"],
        "text_model.final_layer_norm.bias": state["ln_final.bias"],
        "text_projection.weight": state["text_projection"].T.contiguous(),
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "visual_projection.weight": state["visual.proj"].T.contiguous(),
    }
    for end in ("weight", "bias"):
        found[f"vision_model.pre_layrnorm.{end}"] = state[f"visual.ln_pre.{end}"]
        found[f"vision_model.post_layernorm.{end}"] = state[f"visual.ln_post.{end}"]
    for theirs, ours, layers in (
        ("vision_model.encoder.layers", "visual.transformer.resblocks", 4),
        ("text_model.encoder.layers", "transformer.resblocks", 2),
    ):
        for n in range(layers):
            for end in ("weight", "bias"):
                for part, name in (
                    ("layer_norm1", "ln_1"),
                    ("layer_norm2", "ln_2"),
                    ("self_attn.out_proj", "attn.out_proj"),
                    ("mlp.fc1", "mlp.c_fc"),
                    ("mlp.fc2", "mlp.c_proj"),
                ):
                    found[f"{theirs}.{n}.{part}.{end}"] = state[f"{ours}.{n}.{name}.{end}"]
                three = state[f"{ours}.{n}.attn.in_proj_{end}"].chunk(3)
                for part, value in zip("qkv", three, strict=True):
                    found[f"{theirs}.{n}.self_attn.{part}_proj.{end}"] = value.clone()
    return found


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.model."]
)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_prefixes_of_training_are_left_out(tmp_path, tiny, tiny_backbone, prefix, ending):
    state = {f"{prefix}{name}": value for name, value in tiny.model.state_dict().items()}
    file = tmp_path / f"own.{ending}"
    if ending == "pt":
        torch.save({"epoch": 1, "model": state}, file)
    else:
        safetensors.torch.save_file(state, file)
    loaded = load_backbone(str(tiny.config), str(file), device="cpu")
    assert loaded.sha256 == tiny_backbone.sha256


def test_a_tower_that_was_compiled_alone_is_read(tmp_path, tiny, tiny_backbone):
    state = {
        name.replace("visual.", "visual._orig_mod."): value
        for name, value in tiny.model.state_dict().items()
    }
    torch.save(state, tmp_path / "own.pt")
    loaded = load_backbone(str(tiny.config), str(tmp_path / "own.pt"), device="cpu")
    assert loaded.sha256 == tiny_backbone.sha256


def test_transformers_clip_model_is_the_same_tower(tmp_path, tiny, tiny_backbone):
    state = as_transformers_name_it(tiny.model.state_dict())
    safetensors.torch.save_file(state, tmp_path / "model.safetensors")
    file = str(tmp_path / "model.safetensors")
    assert load_backbone(str(tiny.config), file, device="cpu").sha256 == tiny_backbone.sha256


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_half_precision_positions_of_another_grid_are_resampled(tmp_path, tiny, kind):
    large = dict(tiny.model.state_dict())
    large["visual.positional_embedding"] = torch.randn(
        1 + 14 * 14, 64, generator=torch.Generator().manual_seed(0)
    )
    safetensors.torch.save_file(
        {name: value.to(kind) for name, value in large.items()}, tmp_path / "half.safetensors"
    )
    loaded = load_backbone(str(tiny.config), str(tmp_path / "half.safetensors"), device="cpu")
    positions = loaded.model.visual.positional_embedding
    assert (positions.shape, positions.dtype) == ((50, 64), torch.float32)
    kept = large["visual.positional_embedding"][0].to(kind).float()
    assert torch.equal(positions[0], kept)


# files that are something else -------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["pt", "bin", "safetensors"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
        (b"\n  <html lang=en><head></head></html>", "web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1710540580\n",
            r"git-lfs pointer.*git lfs pull",
        ),
        (b'{"weight_map": {"visual.proj": "model-00001-of-00002.safetensors"}}', "JSON"),
        (b"", "it is empty"),
    ],
    ids=["page", "page without doctype", "git-lfs", "index", "empty"],
)
def test_another_kind_of_file_is_named(tmp_path, tiny, ending, content, said):
    file = tmp_path / f"weights.{ending}"
    file.write_bytes(content)
    with pytest.raises(DetectorError, match=said) as caught:
        load_backbone(str(tiny.config), str(file), device="cpu")
    assert "weights_only" not in str(caught.value)


def test_a_pickled_object_is_never_advised_to_be_run(tmp_path, tiny):
    torch.save({"state_dict": tiny.model.state_dict(), "args": Path("x")}, tmp_path / "own.pt")
    torch.save(tiny.model, tmp_path / "whole.pt")
    for name in ("own.pt", "whole.pt"):
        with pytest.raises(DetectorError, match=r"Python objects.*save its tensors") as caught:
            load_backbone(str(tiny.config), str(tmp_path / name), device="cpu")
        assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, tiny, value):
    state = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    state["visual.ln_pre.bias"][3] = value
    torch.save(state, tmp_path / "own.pt")
    with pytest.raises(DetectorError, match=r"not finite.*visual\.ln_pre\.bias"):
        load_backbone(str(tiny.config), str(tmp_path / "own.pt"), device="cpu")


def test_keys_that_differ_are_named(tmp_path, tiny):
    state = dict(tiny.model.state_dict())
    del state["visual.proj"]
    state["visual.attn_pool.query"] = torch.zeros(2)
    state["text_projection"] = torch.zeros(32, 16)
    torch.save(state, tmp_path / "own.pt")
    with pytest.raises(DetectorError) as caught:
        load_backbone(str(tiny.config), str(tmp_path / "own.pt"), device="cpu")
    text = str(caught.value)
    assert "lacks visual.proj" in text
    assert "has no visual.attn_pool.query" in text
    assert "text_projection is 32x16, not 32x32" in text


def test_a_file_under_a_wrong_ending_is_read_by_its_bytes(tmp_path, tiny, tiny_backbone):
    shutil.copy(tiny.weights, tmp_path / "pytorch_model.bin")
    torch.save(tiny.model.state_dict(), tmp_path / "own.safetensors")
    for name in ("pytorch_model.bin", "own.safetensors"):
        loaded = load_backbone(str(tiny.config), str(tmp_path / name), device="cpu")
        assert loaded.sha256 == tiny_backbone.sha256
