"""Backbones, images and presets that the detector's tests share; all made here, all seeded."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core import DEFAULT, Backbone, Detector, Preset, load_backbone
from ai_core.backbone.architecture import Architecture, build_model, read_architecture
from ai_core.backbone.loading import tapped_blocks

SIDE = 224

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 224,
        "layers": 4,
        "width": 64,
        "head_width": 32,
        "patch_size": 32,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 2,
    },
}
"""A model in open_clip's own form with a 7x7 grid: every path of a large one, in milliseconds."""


@dataclass(frozen=True)
class Tiny:
    """A tiny model on disk, as a user would bring his own."""

    folder: Path
    config: Path
    weights: Path
    model: nn.Module


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def textured(count: int, *, seed: int) -> Tensor:
    """Grey discs with soft texture and a little noise on black: slices of nobody."""
    generator = seeded(seed)
    coarse = torch.rand(count, 1, 14, 14, generator=generator)
    soft = F.interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=False)
    noise = torch.randn(count, 1, SIDE, SIDE, generator=generator)
    body = (0.25 + 0.25 * soft + 0.02 * noise).clamp(0.05, 1.0)
    return (body * disc(112, 112, radius=95)).expand(-1, 3, -1, -1).contiguous()


def disc(row: int, column: int, *, radius: int) -> Tensor:
    """True within a circle, bool, shape (224, 224)."""
    places = torch.arange(SIDE)
    return (places[:, None] - row) ** 2 + (places[None, :] - column) ** 2 < radius**2


def config_of(*, text: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    """The tiny model's config with some settings changed."""
    config = {**deepcopy(TINY), **top}
    config["text_cfg"] |= text or {}
    return config


def random_model(config: dict[str, Any], *, seed: int = 5) -> nn.Module:
    """An open_clip model of that config with seeded weights, none of them at its default."""
    model = build_model(Architecture(name="tiny", config=config)).eval()
    generator = seeded(seed)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = parameter.ndim == 1 and bool((parameter == 1).all())
            parameter.copy_(1 + 0.2 * noise if is_norm else 0.15 * noise)
    return model


@torch.no_grad()
def random_backbone(architecture: Architecture, *, seed: int = 5, **options: Any) -> Backbone:
    """A backbone with seeded weights, none at its default, so that a branch left out is seen."""
    torch.manual_seed(seed)
    model: Any = build_model(architecture)
    generator = seeded(seed)
    for _, parameter in sorted(model.visual.named_parameters()):
        parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    visual = model.visual
    blocks = visual.trunk.blocks if hasattr(visual, "trunk") else visual.transformer.resblocks
    return Backbone(
        model,
        architecture=architecture,
        weights="random",
        blocks=tapped_blocks(len(blocks)),
        **{"precision": "fp32", "device": torch.device("cpu"), **options},
    )


def write_tiny(
    folder: Path, config: dict[str, Any] = TINY, *, name: str = "tiny", seed: int = 5
) -> Tiny:
    model = random_model(config, seed=seed)
    config_file, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
    config_file.write_text(json.dumps(config), encoding="utf-8")
    safetensors.torch.save_file(model.state_dict(), weights)
    return Tiny(folder=folder, config=config_file, weights=weights, model=model)


def load_tiny(tiny: Tiny, *, precision: Any = "fp32", **options: Any) -> Backbone:
    """In float32 unless told otherwise: "auto" is what the machine makes of it."""
    return load_backbone(
        str(tiny.config), str(tiny.weights), device="cpu", precision=precision, **options
    )


def architecture_of(config: Path) -> Architecture:
    found = read_architecture(str(config), tag=None)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return load_backbone(weights="untrained", device="cpu")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_backbone(tiny: Tiny) -> Backbone:
    return load_tiny(tiny)


@pytest.fixture(scope="session")
def support() -> Tensor:
    return textured(6, seed=1)


@pytest.fixture(scope="session")
def quick() -> Preset:
    """The default with a small pool and a few updates."""
    return quicker(DEFAULT, pool_images=16, updates=3, batch=8, loss_side=28)


def quicker(preset: Preset, **training: Any) -> Preset:
    return replace(preset, training=replace(preset.training, **training))


@pytest.fixture(scope="session")
def fitted(backbone: Backbone, support: Tensor, quick: Preset) -> Detector:
    return Detector.fit(support, backbone=backbone, preset=quick, generator=seeded(7))
