"""The frozen vision tower as a function: normalised images in, tapped tokens out."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Precision = Literal["fp32", "bf16", "int8"]
"""In what the tower's matrix products multiply; its residual stream stays float32 in all."""

TowerOutput = tuple[Tensor, Tensor]
"""Tokens of the tapped blocks, (N, blocks, patches, width), and embedding, (N, embed_dim)."""

Runner = Callable[[Tensor], TowerOutput]
"""Runs the tower on normalised images, shape (N, 3, 224, 224), float32 on its device."""


class Tower(nn.Module):
    """An open_clip vision tower with its taps, in one precision.

    With "bf16" the weights of linear and convolutional layers are kept in bfloat16 beforehand,
    since autocast would cast frozen weights anew at every call.

    Args:
        visual: the vision half of an open_clip model, float32; left as it is.
        blocks: the tapped blocks, counted from 1.
        precision: of the matrix products; int8 is `int8.Int8Tower`'s.
    """

    def __init__(
        self, visual: Any, *, blocks: tuple[int, ...], precision: Literal["fp32", "bf16"]
    ) -> None:
        super().__init__()
        self._visual = visual if precision == "fp32" else _with_bf16_weights(visual)
        self._blocks = blocks
        self._mixed = precision == "bf16"

    @torch.no_grad()
    def forward(self, x: Tensor) -> TowerOutput:
        """Run the tower on normalised images, float32, shape (N, 3, 224, 224)."""
        if not self._mixed:
            return run_tower(self._visual, x, blocks=self._blocks)
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return run_tower(self._visual, x, blocks=self._blocks)


def run_tower(
    visual: Any, x: Tensor, *, blocks: tuple[int, ...], patches: Tensor | None = None
) -> TowerOutput:
    """Run an open_clip vision tower and tap its residual stream; gradients flow.

    Args:
        visual: the vision half of an open_clip model.
        x: normalised images, float32, shape (N, 3, 224, 224), on the tower's device.
        blocks: the tapped blocks, counted from 1.
        patches: which patches of each image pass the tower, int64, shape (N, kept); all by default.
    """
    x = visual.conv1(x).flatten(2).transpose(1, 2).float()
    first = visual.class_embedding.expand(x.shape[0], 1, -1)
    # float32 from here on: open_clip would let the residual stream round to bfloat16
    x = torch.cat([first, x], dim=1) + visual.positional_embedding
    if patches is not None:
        x = torch.cat([x[:, :1], at_patches(x[:, 1:], patches)], dim=1)
    x = visual.ln_pre(x)
    taken = []
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x = _run_block(block, x)
        if number in blocks:
            taken.append(x[:, 1:])
    pooled, _ = visual._pool(x)
    if visual.proj is not None:
        pooled = pooled @ visual.proj
    return torch.stack(taken, dim=1).float(), pooled.float()


def _run_block(block: Any, x: Tensor) -> Tensor:
    """Run a residual attention block, tokens (N, tokens, width) in and out.

    torch's own attention layer turns the batch to the second place before it projects, unless it
    has a fused path (not while gradients flow, nor for an odd number of heads), and then multiplies
    each token of the batch by the weights on its own: twice the time of one matrix product.
    """
    attention = block.attn
    if not isinstance(attention, nn.MultiheadAttention):
        return cast("Tensor", block(x))
    projected = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    by_head = projected.view(*projected.shape[:2], 3, attention.num_heads, attention.head_dim)
    query, key, value = by_head.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    x = x + block.ls_1(attention.out_proj(mixed))
    return cast("Tensor", x + block.ls_2(block.mlp(block.ln_2(x))))


def at_patches(tokens: Tensor, patches: Tensor) -> Tensor:
    """Pick patches of each image, (N, kept, width) of (N, patches, width), by int64 (N, kept)."""
    return tokens.gather(1, patches.unsqueeze(2).expand(-1, -1, tokens.shape[2]))


def _with_bf16_weights(visual: Any) -> Any:
    copy = deepcopy(visual)
    for module in copy.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
    return copy
