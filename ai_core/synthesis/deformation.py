"""Source deformation: the inside of a mask pushed outwards from its centre (MediCLIP Eq. 5)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.masks import Placement, Shape


def source_deformation(
    target: Tensor, placement: Placement, shape: Shape, *, alpha: float
) -> Tensor:
    """Sample each pixel p of the mask from c + (p - c)(|p - c| / R)^(α - 1) (MediCLIP Eq. 5).

    R is the mask's radius in the direction of p, so that the rim stays where it is, and α = 1
    is the identity. Larger α stretches the centre over the mask.

    Args:
        target: float32 in [0, 1], shape (3, H, W).
        placement: where the mask lies; c is its centre.
        shape: ellipse or rectangle.
        alpha: exponent, at least 1.
    """
    side = target.shape[-1]
    share = relative_radius(placement, shape, side=side)
    pull = torch.where(share < 1, share.clamp_min(1e-6) ** (alpha - 1), torch.ones_like(share))
    places = torch.arange(side, dtype=torch.float32)
    rows = placement.row + (places[:, None] - placement.row) * pull
    columns = placement.column + (places[None, :] - placement.column) * pull
    grid = torch.stack([columns, rows], dim=-1) * (2 / (side - 1)) - 1
    sampled = F.grid_sample(
        target[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]
    return torch.where(share < 1, sampled, target)


def relative_radius(placement: Placement, shape: Shape, *, side: int) -> Tensor:
    """|p - c| / R for every pixel: 0 at the centre, 1 on the mask's rim, shape (side, side)."""
    first, second = placement.local(side)
    first, second = first / placement.half_height, second / placement.half_width
    if shape == "ellipse":
        return (first.square() + second.square()).sqrt()
    return torch.maximum(first.abs(), second.abs())
