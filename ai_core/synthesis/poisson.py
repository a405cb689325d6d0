"""Poisson blending on a box, solved exactly by discrete sine transforms.

Pérez, Gangnet, Blake, "Poisson Image Editing" (2003), with the mask's box as the domain:
gradients come from the source where both neighbours are in the mask and from the target
elsewhere, and the box's own rim keeps the target's values. On a box the five-point Laplacian is
diagonal in sine functions, so four small matrix products replace an iterative solver.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

Span = tuple[int, int]
"""First row or column, and the one after the last."""


def poisson_blend(targets: Tensor, sources: Tensor, masks: Tensor) -> Tensor:
    """Put each source's gradients into its target inside a mask, without a seam.

    Args:
        targets: float32 in [0, 1], shape (n, C, height, width).
        sources: the same shape.
        masks: bool, shape (n, height, width).

    Returns:
        The blended images, clipped to [0, 1]; equal to the targets outside the masks' boxes.
    """
    rows, columns = interior_spans(masks)
    update = solve_dirichlet(_divergence(sources - targets, masks), rows, columns)
    return (targets + update).clamp(0, 1)


def interior_spans(masks: Tensor) -> tuple[list[Span], list[Span]]:
    """Return rows and columns that may change: the mask's box, less the image's own rim."""
    return tuple(_spans(masks.any(dim=axis)) for axis in (2, 1))  # type: ignore[return-value]


def solve_dirichlet(right: Tensor, rows: Sequence[Span], columns: Sequence[Span]) -> Tensor:
    """Solve 4 u - (sum of the four neighbours) = right on a box each, with u = 0 around it.

    Args:
        right: float32, shape (n, C, height, width); read within the boxes alone.
        rows: rows of each box.
        columns: columns of each box.

    Returns:
        u, the same shape, 0 outside the boxes.
    """
    row_basis, row_values = _bases(rows, right.shape[-2])
    column_basis, column_values = _bases(columns, right.shape[-1])
    values = (row_values[:, :, None] + column_values[:, None, :]).to(right)[:, None]
    row_basis, column_basis = row_basis.to(right)[:, None], column_basis.to(right)[:, None]
    spectrum = row_basis.transpose(-1, -2) @ right @ column_basis / values
    return row_basis @ spectrum @ column_basis.transpose(-1, -2)


def _divergence(difference: Tensor, masks: Tensor) -> Tensor:
    """Compute the divergence of the difference's gradient over edges within the masks."""
    inside = masks[:, None]
    down = (difference[:, :, 1:] - difference[:, :, :-1]) * (inside[:, :, 1:] & inside[:, :, :-1])
    right = (difference[..., 1:] - difference[..., :-1]) * (inside[..., 1:] & inside[..., :-1])
    result = torch.zeros_like(difference)
    result[:, :, 1:] += down
    result[:, :, :-1] -= down
    result[..., 1:] += right
    result[..., :-1] -= right
    return result


def _bases(spans: Sequence[Span], size: int) -> tuple[Tensor, Tensor]:
    """Compute sine functions on spans of an axis, (n, size, most), and eigenvalues, (n, most).

    Shorter spans are filled up with functions that are 0 everywhere.
    """
    most = max(stop - start for start, stop in spans)
    bases = torch.zeros(len(spans), size, most)
    values = torch.ones(len(spans), most)
    for index, (start, stop) in enumerate(spans):
        basis, eigenvalues = _sine_basis(stop - start)
        bases[index, start:stop, : stop - start] = basis
        values[index, : stop - start] = eigenvalues
    return bases, values


@lru_cache(maxsize=512)
def _sine_basis(size: int) -> tuple[Tensor, Tensor]:
    """Compute the orthonormal sine matrix (DST-I) and the eigenvalues of [-1, 2, -1]."""
    places = torch.arange(1, size + 1, dtype=torch.float64)
    angles = math.pi / (size + 1) * places
    basis = math.sqrt(2 / (size + 1)) * torch.sin(places[:, None] * angles[None, :])
    return basis.float(), (2 - 2 * torch.cos(angles)).float()


def _spans(hit: Tensor) -> list[Span]:
    """Return the span of true values of each row (n, size), off both ends of the axis."""
    size = hit.shape[1]
    places = torch.arange(size, device=hit.device)
    first = torch.where(hit, places, size).amin(1).tolist()
    last = torch.where(hit, places, -1).amax(1).tolist()
    spans = []
    for low, high in zip(first, last, strict=True):
        start, stop = max(low, 1), min(high + 1, size - 1)
        spans.append((start, stop) if start < stop else (1, 2))
    return spans
