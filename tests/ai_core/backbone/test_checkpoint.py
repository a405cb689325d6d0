"""Weights files in every form that users have them in."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
from open_clip.model import CLIP, CLIPVisionCfg
from structlog.testing import capture_logs
from torch import nn

from ai_core import load_backbone
from ai_core.backbone.checkpoint import UNREADABLE, load_checkpoint
from tests.ai_core.conftest import (
    TINY,
    Tiny,
    architecture_of,
    config_of,
    load_tiny,
    random_model,
    textured,
    write_tiny,
)

# TorchScript is on its way out of torch, but OpenAI's weights are published in it
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def archive(model: nn.Module, path) -> None:
    """A TorchScript archive with the three extra entries that OpenAI's hold."""
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        if hasattr(model, name):
            delattr(model, name)
        model.register_buffer(name, torch.tensor(value))
    mask = model._buffers.pop("attn_mask")
    assert mask is not None
    model.attn_mask = mask  # a plain attribute, as in OpenAI's code
    images, words = torch.zeros(1, 3, 224, 224), torch.zeros(1, 77, dtype=torch.int64)
    torch.jit.trace(model, (images, words), check_trace=False).save(str(path))


@pytest.mark.parametrize("form", ["plain.pt", "plain.bin", "training.pt", "parallel.pt"])
def test_a_state_dict_gives_the_same_model_in_every_container(tmp_path, tiny, tiny_backbone, form):
    state = tiny.model.state_dict()
    if form == "training.pt":
        state = {"epoch": 3, "state_dict": state}
    elif form == "parallel.pt":
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save(state, tmp_path / form)
    loaded = load_backbone(str(tiny.config), str(tmp_path / form), device="cpu")
    assert loaded.sha256 == tiny_backbone.sha256


def test_a_scalar_temperature_may_have_a_dimension_or_none(tmp_path, tiny, tiny_backbone):
    state = tiny.model.state_dict()
    state["logit_scale"] = state["logit_scale"].reshape(1)
    torch.save(state, tmp_path / "tiny.pt")
    loaded = load_backbone(str(tiny.config), str(tmp_path / "tiny.pt"), device="cpu")
    assert loaded.sha256 == tiny_backbone.sha256


def test_half_precision_files_are_loaded_as_float32(tmp_path, tiny):
    halves = {name: value.half() for name, value in tiny.model.state_dict().items()}
    safetensors.torch.save_file(halves, tmp_path / "half.safetensors")
    _, model = load_checkpoint(tmp_path / "half.safetensors", architecture_of(tiny.config))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    expected = halves["visual.conv1.weight"].float()
    assert torch.equal(model.get_parameter("visual.conv1.weight"), expected)


@pytest.mark.parametrize("quick", [True, False])
def test_an_archive_brings_the_activation_of_its_own_code(tmp_path, tiny, quick):
    architecture = architecture_of(tiny.config)
    plain, _ = load_checkpoint(tiny.weights, architecture)
    assert plain == architecture
    archive(random_model(config_of(quick_gelu=quick)), tmp_path / "ViT-tiny.pt")
    found, model = load_checkpoint(tmp_path / "ViT-tiny.pt", architecture)
    assert found == architecture.with_activation(quick_gelu=quick)
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_an_openai_archive_and_the_quick_gelu_config_with_its_state_are_one_backbone(tmp_path):
    quick = write_tiny(tmp_path, config_of(quick_gelu=True), name="tiny-quickgelu")
    plain = write_tiny(tmp_path, name="tiny")
    archive(random_model(config_of(quick_gelu=True)), tmp_path / "ViT-tiny.pt")
    from_archive = load_tiny(Tiny(tmp_path, plain.config, tmp_path / "ViT-tiny.pt", plain.model))
    images = textured(1, seed=3)
    assert from_archive.sha256 == load_tiny(quick).sha256 != load_tiny(plain).sha256
    same = load_tiny(quick).encode(images).tokens
    assert torch.equal(from_archive.encode(images).tokens, same)


def test_a_flat_file_fills_a_model_with_a_text_tower_of_its_own(tmp_path, tiny):
    custom = write_tiny(tmp_path, config_of(custom_text=True), name="custom")
    _, model = load_checkpoint(tiny.weights, architecture_of(custom.config))
    source = tiny.model.state_dict()
    assert torch.equal(model.state_dict()["text.text_projection"], source["text_projection"])
    assert torch.equal(model.state_dict()["visual.proj"], source["visual.proj"])


def test_positions_of_another_resolution_are_resampled(tmp_path, tiny):
    vision = CLIPVisionCfg(**{**TINY["vision_cfg"], "image_size": 448})
    large = CLIP(embed_dim=32, vision_cfg=vision, text_cfg=TINY["text_cfg"])
    safetensors.torch.save_file(large.state_dict(), tmp_path / "large.safetensors")
    with capture_logs() as events:
        _, model = load_checkpoint(tmp_path / "large.safetensors", architecture_of(tiny.config))
    resampled = {"event": "positions.resampled", "from_grid": 14, "to_grid": 7}
    assert [resampled.items() <= event.items() for event in events] == [True]
    positions = model.get_parameter("visual.positional_embedding")
    assert positions.shape == (1 + 7 * 7, 64)
    assert torch.equal(positions[0], large.visual.positional_embedding[0])


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_state_that_does_not_fit_is_refused(tmp_path, tiny, change):
    state = dict(tiny.model.state_dict())
    if change == "missing":
        del state["visual.proj"]
    elif change == "extra":
        state["visual.unheard_of"] = torch.zeros(1)
    else:
        state["visual.proj"] = torch.zeros(64, 16)
    safetensors.torch.save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(UNREADABLE):
        load_checkpoint(tmp_path / "odd.safetensors", architecture_of(tiny.config))
