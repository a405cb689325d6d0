"""CutPaste: a turned, scaled piece of another normal image, blended in (MediCLIP sec. 2.2)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.draws import uniform
from ai_core.synthesis.poisson import poisson_blend


def cut_paste(
    target: Tensor, source: Tensor, mask: Tensor, *, generator: torch.Generator
) -> Tensor:
    """Blend a moved, turned, scaled view of ``source`` into ``target`` inside a mask.

    Args:
        target: float32 in [0, 1], shape (3, H, W).
        source: another normal image, the same shape.
        mask: bool, shape (H, W).
        generator: draws the move, the turn and the scale.
    """
    return poisson_blend(target, moved_view(source, generator=generator), mask)


def moved_view(source: Tensor, *, generator: torch.Generator) -> Tensor:
    """The image turned by up to 45°, scaled by up to 1.25 and moved by up to a quarter."""
    angle = uniform(-math.pi / 4, math.pi / 4, generator)
    scale = math.exp(uniform(-math.log(1.25), math.log(1.25), generator))
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    across, down = uniform(-0.5, 0.5, generator), uniform(-0.5, 0.5, generator)
    theta = torch.tensor([[cosine, -sine, across], [sine, cosine, down]])
    grid = F.affine_grid(theta[None], [1, *source.shape], align_corners=False)
    view = F.grid_sample(
        source[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return view[0].clamp(0, 1)
