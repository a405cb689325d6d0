"""A timm vision transformer as a frozen tower: normalised images in, tapped tokens out.

What makes open_clip's own ViT faster (int8, CUDA graphs, fused residuals) knows its parts by name
and does not run here.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.backbone.tower import TowerOutput, mixed_precision


class TimmVision(nn.Module):
    """A timm trunk alone, in the form of open_clip's own wrapper of one.

    Args:
        name: a timm model.
        image_size: side of its images in pixels, a multiple of its patch size.
    """

    def __init__(self, name: str, *, image_size: int) -> None:
        super().__init__()
        import timm

        self.trunk = timm.create_model(name, pretrained=False, num_classes=0, img_size=image_size)
        self.head = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Compute the global embedding of normalised images, shape (N, width)."""
        embedding: Tensor = self.trunk(x)
        return embedding


class TimmTower(nn.Module):
    """A timm vision tower with its taps, in one precision, with the interface of `tower.Tower`.

    With "bf16" torch's autocast runs the matrix products in bfloat16; the residual stream stays
    float32, since float32 positions are added to it first.

    Args:
        visual: open_clip's wrapper of a timm trunk, or `TimmVision`; float32, left as it is.
        blocks: the tapped blocks, counted from 1.
        precision: of the matrix products.
    """

    def __init__(
        self, visual: Any, *, blocks: tuple[int, ...], precision: Literal["fp32", "bf16"]
    ) -> None:
        super().__init__()
        self._visual = visual
        self._indices = [block - 1 for block in blocks]
        self._dtype = torch.float32 if precision == "fp32" else torch.bfloat16

    @torch.no_grad()
    def forward(self, x: Tensor) -> TowerOutput:
        """Run the tower on normalised images, float32, shape (N, 3, 224, 224)."""
        trunk = self._visual.trunk
        x = enlarge_to_tower(x, trunk.patch_embed)
        with mixed_precision(x.device, self._dtype):
            # class and register tokens are left out; no final norm
            final, taken = trunk.forward_intermediates(
                x, indices=self._indices, norm=False, output_fmt="NLC"
            )
            pooled = self._visual.head(trunk.forward_head(final))
        return torch.stack(taken, dim=1).float(), pooled.float()


def enlarge_to_tower(x: Tensor, patch_embed: Any) -> Tensor:
    """Enlarge images to the size that a tower was trained on, so that its positions hold.

    Where its patches do not fill that size (384 pixels in patches of 14), the image fills the
    patches, and its last row and column fill the rest, which no patch sees.

    Args:
        x: normalised images, shape (N, 3, side, side).
        patch_embed: timm's patch embedding, with ``img_size`` and ``grid_size``.
    """
    size, cells = int(patch_embed.img_size[0]), int(patch_embed.grid_size[0])
    if x.shape[-1] == size:
        return x
    seen = size // cells * cells
    x = F.interpolate(x, (seen, seen), mode="bicubic", align_corners=False)
    return F.pad(x, (0, size - seen, 0, size - seen), mode="replicate")
