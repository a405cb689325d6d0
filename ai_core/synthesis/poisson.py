"""Poisson blending on a box, solved exactly by discrete sine transforms.

Pérez, Gangnet, Blake, "Poisson Image Editing" (2003), with the box as the domain: gradients come
from the source where both neighbours lie in the mask and from the target elsewhere, and the
box's own rim keeps the target's values. On a box the five-point Laplacian is diagonal in sine
functions, so four small matrix products replace an iterative solver.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

_MARGIN = 4
"""Pixels of target kept around the mask, so that the rim lies on untouched ground."""


def poisson_blend(target: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """Put the source's gradients into the target inside a mask, without a seam.

    Args:
        target: float32 in [0, 1], shape (C, H, W).
        source: the same shape.
        mask: bool, shape (H, W).

    Returns:
        The blended image, clipped to [0, 1]; equal to the target outside the mask's box.
    """
    if not bool(mask.any()):
        return target.clone()
    rows, columns = _box(mask)
    blended = target.clone()
    difference = (source - target)[:, rows, columns]
    update = solve_dirichlet(_divergence(difference, mask[rows, columns]))
    inner = blended[:, rows, columns][:, 1:-1, 1:-1]
    blended[:, rows, columns][:, 1:-1, 1:-1] = (inner + update).clamp(0, 1)
    return blended


def solve_dirichlet(right: Tensor) -> Tensor:
    """Solve 4 u - (sum of the four neighbours) = right with u = 0 all around.

    Args:
        right: float32, shape (..., height, width): the interior of the box.

    Returns:
        u, the same shape.
    """
    rows, row_values = _sine_basis(right.shape[-2])
    columns, column_values = _sine_basis(right.shape[-1])
    rows, columns = rows.to(right), columns.to(right)
    values = (row_values[:, None] + column_values[None, :]).to(right)
    return rows @ ((rows @ right @ columns) / values) @ columns


def _divergence(difference: Tensor, mask: Tensor) -> Tensor:
    """Divergence of the difference's gradient over edges within the mask, at interior pixels."""
    inside = mask.to(difference.dtype)
    down = (difference[:, 1:] - difference[:, :-1]) * (inside[1:] * inside[:-1])
    right = (difference[:, :, 1:] - difference[:, :, :-1]) * (inside[:, 1:] * inside[:, :-1])
    vertical = down[:, :-1, 1:-1] - down[:, 1:, 1:-1]
    horizontal = right[:, 1:-1, :-1] - right[:, 1:-1, 1:]
    return vertical + horizontal


@lru_cache(maxsize=512)
def _sine_basis(size: int) -> tuple[Tensor, Tensor]:
    """Orthonormal, symmetric sine matrix (DST-I) and the eigenvalues of [-1, 2, -1]."""
    places = torch.arange(1, size + 1, dtype=torch.float64)
    angles = math.pi / (size + 1) * places
    basis = math.sqrt(2 / (size + 1)) * torch.sin(places[:, None] * angles[None, :])
    return basis, 2 - 2 * torch.cos(angles)


def _box(mask: Tensor) -> tuple[slice, slice]:
    spans = []
    for axis in (1, 0):
        hit = mask.any(dim=axis).nonzero().flatten()
        size = mask.shape[1 - axis]
        low = max(0, int(hit[0]) - _MARGIN)
        high = min(size, int(hit[-1]) + 1 + _MARGIN)
        if high - low < 3:  # a rim needs an interior
            low, high = max(0, high - 3), max(3, high)
        spans.append(slice(low, high))
    return spans[0], spans[1]
