"""The untrained backbone: a small tower of CLIP's shape with seeded random weights.

Random features cannot know medicine. They can still keep what a linear adapter needs: the first
layer is a fixed, low-frequency-first basis of the patch (so that brightness, edges and texture
of a patch stay linearly readable), positions are smooth sines, and every block averages over
patches that are near and look alike and then draws random nonlinear features of that.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

UNTRAINED_SEED = 20240224
VISION_PREFIX = "visual."
"""Prefix of the vision tower's parameter names in open_clip."""

_POSITION_SHARE = 0.5
"""Size of the position in a token, against the size of its content."""

_SHARPNESS = 4.0
"""Gain of the tied query-key product: how local and how selective attention is."""


def untrained_config() -> dict[str, Any]:
    """Return the open_clip config: 16x16 patches at 224 pixels, four blocks."""
    return {
        "embed_dim": 128,
        "vision_cfg": {
            "image_size": 224,
            "layers": 4,
            "width": 256,
            "head_width": 64,
            "mlp_ratio": 2.0,
            "patch_size": 14,
            "no_ln_pre": True,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 64,
            "heads": 2,
            "layers": 2,
        },
    }


@torch.no_grad()
def initialise_untrained(model: nn.Module, *, seed: int = UNTRAINED_SEED) -> None:
    """Overwrite every parameter of a freshly built open_clip model, from one seed.

    Integers from the generator and single roundings only: no transcendental of a vector unit and
    no sum whose order depends on threads, so that every machine gets the same bytes.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        parameter.copy_(_draw(name, parameter, generator))
    visual: Any = model.visual
    width = visual.conv1.weight.shape[0]
    _fill_patch_basis(visual.conv1.weight)
    visual.positional_embedding[1:] = _positions(int(visual.grid_size[0]), width)
    visual.positional_embedding[0].zero_()
    for block in visual.transformer.resblocks:
        weight = block.attn.in_proj_weight
        weight[width : 2 * width] = weight[:width]  # attend to tokens like the asking one
        weight[:width] *= _SHARPNESS


@torch.no_grad()
def initialise_text(model: nn.Module, *, seed: int = UNTRAINED_SEED) -> None:
    """Overwrite every parameter outside the vision tower, from one seed; same bytes everywhere."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if not name.startswith(VISION_PREFIX):
            parameter.copy_(_draw(name, parameter, generator))


def _draw(name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    noise = _even_noise(parameter.shape, generator)
    if name.endswith("logit_scale"):
        return torch.full_like(parameter, math.log(1 / 0.07))
    if "ln_" in name:
        return torch.ones_like(noise) if name.endswith("weight") else torch.zeros_like(noise)
    if name.endswith("bias"):
        return noise * 0.5 if "c_fc" in name else torch.zeros_like(noise)
    if name.endswith("token_embedding.weight"):
        return noise * 0.02
    if name.endswith("positional_embedding"):
        return noise * 0.01
    transposed = name.endswith(("visual.proj", "text_projection"))
    fan_in = noise[0].numel() if not transposed else noise.shape[0]
    return noise * (1 / math.sqrt(fan_in))


def _even_noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw uniform noise with mean 0 and deviation 1, from integers alone."""
    steps = torch.randint(-32768, 32768, shape, generator=generator).double()
    return ((steps + 0.5) * (math.sqrt(3) / 32768)).float()


def _fill_patch_basis(weight: Tensor) -> None:
    """Fill in grey cosine patterns of the patch, low frequencies first; the rest stays random."""
    width, channels, side, _ = weight.shape
    orders = sorted(
        ((u, v) for u in range(side) for v in range(side)), key=lambda uv: (sum(uv), uv)
    )
    count = min(len(orders), width * 3 // 4)
    for index, (u, v) in enumerate(orders[:count]):
        pattern = [
            [_cosine(u, y, side) * _cosine(v, x, side) for x in range(side)] for y in range(side)
        ]
        weight[index] = torch.tensor(pattern, dtype=torch.float64).float() / channels


def _cosine(order: int, place: int, side: int) -> float:
    """Compute an orthonormal DCT-II basis function."""
    norm = math.sqrt((1 if order == 0 else 2) / side)
    return norm * math.cos(math.pi * order * (place + 0.5) / side)


def _positions(grid: int, width: int) -> Tensor:
    """Compute smooth sines and cosines of row and column, shape (grid * grid, width)."""
    frequencies = [math.pi / 8 * (n + 1) for n in range(width // 4)]
    waves = [
        [math.sin(frequency * (place + 0.5) / grid) for frequency in frequencies]
        + [math.cos(frequency * (place + 0.5) / grid) for frequency in frequencies]
        for place in range(grid)
    ]
    rows = [waves[row] + waves[column] for row in range(grid) for column in range(grid)]
    return (torch.tensor(rows, dtype=torch.float64) * (math.sqrt(2) * _POSITION_SHARE)).float()
