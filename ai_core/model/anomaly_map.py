"""Adapters, similarities and their fusion to an anomaly map (MediCLIP Eq. 2)."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.model.settings import Fusion

_TINY = 1e-12
"""Smallest length of an adapted token, so that a zero token has similarity 0."""


@dataclass(frozen=True, slots=True)
class LogMaps:
    """S_n and S_a as logarithms, so that nothing is lost near 0 or 1.

    Attributes:
        normal: log S_n, shape (N, side, side).
        anomaly: log S_a, shape (N, side, side); exp of both sums to 1 at each pixel.
    """

    normal: Tensor
    anomaly: Tensor

    @property
    def log_odds(self) -> Tensor:
        """log(S_a / S_n), shape (N, side, side): ranks pixels as S_a does, without ties at 1."""
        return self.anomaly - self.normal


class Adapters(nn.Module):
    """Adapters: one linear layer per tapped block, from patch tokens to the space of the text.

    Args:
        blocks: number of tapped blocks.
        width: channels of a patch token.
        embed_dim: channels of a text feature.
        generator: draws the start, uniform within 1 / sqrt(width) as torch's own linear layer.
    """

    def __init__(
        self, *, blocks: int, width: int, embed_dim: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)
        weight = torch.rand(blocks, width, embed_dim, generator=generator)
        bias = torch.rand(blocks, 1, embed_dim, generator=generator)
        self.weight = nn.Parameter((2 * weight - 1) * bound)
        self.bias = nn.Parameter((2 * bias - 1) * bound)
        self.register_buffer("shift", torch.zeros(blocks, 1, width))
        self.register_buffer("scale", torch.ones(blocks, 1, width))
        self.shift: Tensor
        self.scale: Tensor

    def standardise(self, tokens: Tensor) -> None:
        """Give every channel mean 0 and deviation 1 over the given tokens, from here on.

        Args:
            tokens: patch tokens of normal images, shape (N, blocks, patches, width).
        """
        deviation, mean = torch.std_mean(tokens.float(), dim=(0, 2))
        floor = deviation.mean(-1, keepdim=True) * 1e-3
        self.shift.copy_(mean[:, None])
        self.scale.copy_(1 / torch.maximum(deviation, floor)[:, None])

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, blocks, patches, width) to (N, blocks, patches, embed_dim)."""
        # standardising goes into the weights, and each block is one matrix product
        weight = self.weight * self.scale.transpose(1, 2)
        bias = self.bias - (self.shift * self.scale) @ self.weight
        by_block = tokens.transpose(0, 1)
        adapted = torch.baddbmm(bias, by_block.flatten(1, 2), weight)
        return adapted.view(*by_block.shape[:3], weight.shape[-1]).transpose(0, 1)


class FrozenProjection(nn.Module):
    """The tower's own final norm and projection, the same for every block; nothing learns.

    Replaces `Adapters` where a preset has none (the paper's ablation, zero-shot prompts).

    Args:
        norm: the tower's final layer norm.
        projection: its projection, shape (width, embed_dim).
    """

    def __init__(self, norm: nn.LayerNorm, projection: Tensor) -> None:
        super().__init__()
        self.eps = norm.eps
        self.register_buffer("norm_weight", norm.weight.detach().clone())
        self.register_buffer("norm_bias", norm.bias.detach().clone())
        self.register_buffer("projection", projection.detach().clone())
        self.norm_weight: Tensor
        self.norm_bias: Tensor
        self.projection: Tensor

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (N, blocks, patches, width) to (N, blocks, patches, embed_dim)."""
        width = (self.norm_weight.shape[0],)
        return F.layer_norm(tokens, width, self.norm_weight, self.norm_bias, self.eps) @ (
            self.projection
        )


def similarities(adapted: Tensor, text: Tensor) -> Tensor:
    """Compute the cosine similarity of every patch to the two text vectors.

    Args:
        adapted: shape (N, blocks, patches, embed_dim).
        text: unit vectors {normal, anomaly}, shape (2, embed_dim).

    Returns:
        Values in [-1, 1], shape (N, blocks, 2, grid, grid).
    """
    count, blocks, patches, _ = adapted.shape
    grid = math.isqrt(patches)
    by_block = adapted.transpose(0, 1)  # as the adapters left it in memory
    # dot product over length: the unit vectors themselves would be as large as the tokens
    length = torch.linalg.vector_norm(by_block, dim=-1, keepdim=True).clamp_min(_TINY)
    cosine = (by_block @ text.T) / length
    maps: Tensor = cosine.permute(1, 0, 3, 2).reshape(count, blocks, 2, grid, grid)
    return maps


def fuse(
    similarity: Tensor,
    *,
    temperature: float,
    side: int,
    fusion: Fusion = "softmax-then-mean",
    align_corners: bool = False,
) -> LogMaps:
    """Turn similarities into S_n and S_a at pixel size (MediCLIP Eq. 2).

    Args:
        similarity: cosines, shape (N, blocks, 2, grid, grid).
        temperature: τ of the softmax over {normal, anomaly}.
        side: pixels along a side of the maps.
        fusion: the paper's order, softmax per block, upsample, mean; or the released code's,
            mean of cosines, upsample, softmax.
        align_corners: of the bilinear upsampling.
    """
    if fusion == "mean-then-softmax":
        large = _enlarge(similarity.mean(1), side=side, align_corners=align_corners)
        logs = F.log_softmax(large / temperature, dim=1)
        return LogMaps(normal=logs[:, 0], anomaly=logs[:, 1])
    # the two shares come from two sigmoids, never one as 1 minus the other: exact at both ends
    odds = (similarity[:, :, 1] - similarity[:, :, 0]) / temperature
    shares = torch.stack([torch.sigmoid(-odds).mean(1), torch.sigmoid(odds).mean(1)], dim=1)
    large = _enlarge(shares, side=side, align_corners=align_corners)
    logs = torch.log(large.clamp_min(torch.finfo(large.dtype).tiny))
    return LogMaps(normal=logs[:, 0], anomaly=logs[:, 1])


def _enlarge(maps: Tensor, *, side: int, align_corners: bool) -> Tensor:
    """Upsample bilinearly to (N, C, side, side), as a product along each axis.

    The gradients of torch's own are added in whatever order a GPU's threads come.
    """
    weights = _upsampling(maps.shape[-1], side, align_corners=align_corners, device=maps.device)
    return weights @ maps @ weights.T


@lru_cache(maxsize=16)
def _upsampling(grid: int, side: int, *, align_corners: bool, device: torch.device) -> Tensor:
    """Compute the weight of each cell of a row in each pixel, float32, shape (side, grid)."""
    cells = torch.eye(grid)[None]
    weights = F.interpolate(cells, side, mode="linear", align_corners=align_corners)
    return weights[0].T.contiguous().to(device)
