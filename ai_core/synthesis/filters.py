"""Gaussian filter of a batch of fields, each with a deviation of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

_CUT = 4.0


def gaussian_filter(fields: Tensor, *, sigmas: Sequence[float]) -> Tensor:
    """Filter each field, cut at four deviations; at the edge the weights within add up to one.

    The filter is a product with a matrix on either side, which takes a whole batch at once
    though every field has another kernel.

    Args:
        fields: float32, shape (n, height, width).
        sigmas: n deviations in pixels; 0 leaves a field alone.
    """
    height, width = fields.shape[-2:]
    rows = _kernels(height, sigmas).to(fields)
    columns = rows if width == height else _kernels(width, sigmas).to(fields)
    return rows @ fields @ columns.transpose(1, 2)


def _kernels(size: int, sigmas: Sequence[float]) -> Tensor:
    """Compute rows of weights, shape (n, size, size)."""
    deviations = torch.tensor(sigmas, dtype=torch.float32).clamp_min(1e-3)[:, None]
    steps = torch.arange(1 - size, size, dtype=torch.float32)
    # Every row is the same curve, shifted: n curves of 2 size - 1 values instead of n matrices.
    curves = torch.exp(-0.5 * (steps / deviations).square())
    curves = curves * (steps.abs() <= (_CUT * deviations).clamp_min(0.5))
    weights = curves.unfold(1, size, 1).flip(1)
    return weights / weights.sum(-1, keepdim=True)
