"""The frozen vision tower as a function: normalised images in, tapped tokens out."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.backbone.residual import Join, add_and_normalise, fastest_join

TowerOutput = tuple[Tensor, Tensor]
"""Tokens of the tapped blocks, (N, blocks, patches, width), and embedding, (N, embed_dim)."""

Runner = Callable[[Tensor], TowerOutput]
"""Runs the tower on normalised images, shape (N, 3, 224, 224), float32 on its device."""

_QUICK_GELU = 1.702
"""QuickGELU is x σ(1.702 x), that is SiLU of 1.702 x over 1.702."""


class Tower(nn.Module):
    """An open_clip vision tower with its taps, in one precision.

    With "bf16" linear and convolutional layers have their weights in bfloat16. What scales a
    branch or stretches an activation is multiplied into these weights before they are rounded, so
    that it costs nothing.

    Args:
        visual: the vision half of an open_clip model, float32; left as it is.
        blocks: the tapped blocks, counted from 1.
        precision: of the matrix products; int8 is `int8.Int8Tower`'s.
    """

    def __init__(
        self, visual: Any, *, blocks: tuple[int, ...], precision: Literal["fp32", "bf16"]
    ) -> None:
        super().__init__()
        self._visual = visual if precision == "fp32" else _in_bf16(visual)
        self._blocks = blocks
        self._dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._join = fastest_join(visual.class_embedding.device, self._dtype)

    @torch.no_grad()
    def forward(self, x: Tensor) -> TowerOutput:
        """Run the tower on normalised images, float32, shape (N, 3, 224, 224)."""
        return run_tower(self._visual, x, blocks=self._blocks, dtype=self._dtype, join=self._join)


def run_tower(
    visual: Any,
    x: Tensor,
    *,
    blocks: tuple[int, ...],
    patches: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    join: Join = add_and_normalise,
) -> TowerOutput:
    """Run an open_clip vision tower and tap its residual stream; gradients flow.

    Args:
        visual: the vision half of an open_clip model.
        x: normalised images, float32, shape (N, 3, 224, 224), on the tower's device.
        blocks: the tapped blocks, counted from 1.
        patches: which patches of each image pass the tower, int64, shape (N, kept); all by default.
        dtype: of its matrix products' weights.
        join: adds a branch to the residual stream and normalises it.
    """
    x = _embed_patches(visual.conv1, x.to(dtype)).float()
    first = visual.class_embedding.expand(x.shape[0], 1, -1)
    # float32 from here on: open_clip would let the residual stream round to bfloat16
    x = torch.cat([first, x], dim=1) + visual.positional_embedding
    if patches is not None:
        x = torch.cat([x[:, :1], at_patches(x[:, 1:], patches)], dim=1)
    x = visual.ln_pre(x)
    taken = []
    branch: Tensor | None = None
    for number, block in enumerate(visual.transformer.resblocks, start=1):
        x, branch = _run_block(block, x, branch, dtype=dtype, join=join)
        if number in blocks:
            x, branch = _added(x, branch), None
            taken.append(x[:, 1:])
    x = _added(x, branch)
    with mixed_precision(x.device, dtype):
        pooled, _ = visual._pool(x)
    pooled = pooled.float()
    if visual.proj is not None:
        pooled = pooled @ visual.proj
    return torch.stack(taken, dim=1), pooled


def _run_block(
    block: Any, x: Tensor, branch: Tensor | None, *, dtype: torch.dtype, join: Join
) -> tuple[Tensor, Tensor | None]:
    """Run a residual attention block, (N, tokens, width) in and out.

    What goes in and out is the residual stream and the branch that is still to be added to it, so
    that adding and the norm behind it can be one.

    torch's own attention layer turns the batch to the second place before it projects, unless it
    has a fused path (not while gradients flow, nor for an odd number of heads), and then multiplies
    each token of the batch by the weights on its own: twice the time of one matrix product.
    """
    if not _is_plain(block):
        with mixed_precision(x.device, dtype):
            return cast("Tensor", block(_added(x, branch))), None
    attention = block.attn
    x, normed = join(x, branch, block.ln_1, dtype)
    projected = F.linear(normed, attention.in_proj_weight, attention.in_proj_bias)
    by_head = projected.view(*projected.shape[:2], 3, attention.num_heads, attention.head_dim)
    query, key, value = by_head.permute(2, 0, 3, 1, 4).unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    x, normed = join(x, block.ls_1(attention.out_proj(mixed)), block.ln_2, dtype)
    return x, block.ls_2(_two_layers(block.mlp, normed))


def _two_layers(mlp: Any, x: Tensor) -> Tensor:
    """Run a block's two layers, tokens (N, tokens, width) in and out.

    QuickGELU in torch's parts reads and writes the wide tokens three times. As SiLU, its factors
    are those that a matrix product takes anyway.
    """
    from open_clip.transformer import QuickGELU

    traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if traced or torch.is_grad_enabled() or not isinstance(mlp.gelu, QuickGELU):
        return cast("Tensor", mlp(x))
    first, second, factor = mlp.c_fc, mlp.c_proj, _QUICK_GELU
    wide = torch.addmm(first.bias, x.flatten(0, 1), first.weight.T, beta=factor, alpha=factor)
    F.silu(wide, inplace=True)
    return torch.addmm(second.bias, wide, second.weight.T, alpha=1 / factor).view(x.shape)


def _embed_patches(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Embed image patches by the first layer, (N, cells, width)."""
    if x.device.type == "cpu":
        return cast("Tensor", conv(x)).flatten(2).transpose(1, 2)
    return products_of_windows(conv, x)


def products_of_windows(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Compute a convolution without overlap as one matrix product, (N, cells, channels).

    On a GPU, convolution takes four times as long in bfloat16, and rounds to TF32 in float32.
    """
    down, right = conv.kernel_size
    count, channels, height, width = x.shape
    windows = x.reshape(count, channels, height // down, down, width // right, right)
    rows = windows.permute(0, 2, 4, 1, 3, 5).reshape(count, -1, conv.weight[0].numel())
    return F.linear(rows, conv.weight.flatten(1), conv.bias)


def _is_plain(block: Any) -> bool:
    """Return whether a block is CLIP's own: attention and MLP, each behind a norm."""
    return isinstance(block.attn, nn.MultiheadAttention) and all(
        isinstance(norm, nn.LayerNorm) for norm in (block.ln_1, block.ln_2)
    )


def _added(x: Tensor, branch: Tensor | None) -> Tensor:
    return x if branch is None else x + branch


def mixed_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Return autocast for layers that do not convert their inputs themselves; none for float32."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def at_patches(tokens: Tensor, patches: Tensor) -> Tensor:
    """Pick patches of each image, (N, kept, width) of (N, patches, width), by int64 (N, kept)."""
    return tokens.gather(1, patches.unsqueeze(2).expand(-1, -1, tokens.shape[2]))


def _in_bf16(visual: Any) -> Any:
    copy = deepcopy(visual)
    for block in copy.transformer.resblocks:
        if _is_plain(block):
            _fold(block)
    for module in copy.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.MultiheadAttention):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.bfloat16)
    return copy


def _fold(block: Any) -> None:
    """Multiply a block's scales into the adjacent weights, in float32.

    QuickGELU's factor too: unlike `_two_layers`, that leaves plain linear layers, whose bias a GPU
    adds within the product.
    """
    from open_clip.transformer import LayerScale, QuickGELU

    for name, layer in (("ls_1", block.attn.out_proj), ("ls_2", block.mlp.c_proj)):
        scale = getattr(block, name)
        if isinstance(scale, LayerScale):
            layer.weight.data *= scale.gamma.data[:, None]
            layer.bias.data *= scale.gamma.data
            setattr(block, name, nn.Identity())
    if isinstance(block.mlp.gelu, QuickGELU):
        block.mlp.c_fc.weight.data *= _QUICK_GELU
        block.mlp.c_fc.bias.data *= _QUICK_GELU
        block.mlp.c_proj.weight.data /= _QUICK_GELU
        block.mlp.gelu = nn.SiLU(inplace=True)
