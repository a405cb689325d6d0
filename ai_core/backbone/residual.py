"""Residual stream: add a branch, then layer norm, as one step between two branches."""

from collections.abc import Callable

import structlog
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Join = Callable[[Tensor, Tensor | None, nn.LayerNorm, torch.dtype], tuple[Tensor, Tensor]]
"""Takes stream, branch, norm and the type of what is normalised; see `add_and_normalise`."""

log = structlog.get_logger()


def add_and_normalise(
    x: Tensor, branch: Tensor | None, norm: nn.LayerNorm, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Add a branch to the residual stream and normalise the sum.

    Args:
        x: the stream, float32, shape (N, tokens, width).
        branch: what is added to it, of any float type, the same shape; None for nothing.
        norm: the norm behind it, float32.
        dtype: of the normalised sum.

    Returns:
        The stream, float32, and the normalised sum, the same shape.
    """
    x = x if branch is None else x + branch
    return x, F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps).to(dtype)


def fastest_join(device: torch.device, dtype: torch.dtype) -> Join:
    """Return `add_and_normalise`, or its Triton kernel on a GPU where Triton works."""
    if device.type != "cuda" or dtype == torch.float32:
        return add_and_normalise
    try:
        from ai_core.backbone.triton_kernels import add_and_normalise_at_once

        stream = torch.zeros(1, 1, 32, device=device)
        add_and_normalise_at_once(stream, stream.to(dtype), nn.LayerNorm(32).to(device), dtype)
    except Exception as error:  # noqa: BLE001 - Triton raises whatever its compilers raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning("tower.not_fused", reason=reason)
        return add_and_normalise
    return add_and_normalise_at_once
