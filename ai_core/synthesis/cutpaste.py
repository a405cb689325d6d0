"""CutPaste: a turned, scaled piece of another normal image, blended in (MediCLIP sec. 2.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.boxes import Box, Matrix, Window, offsets, transform
from ai_core.synthesis.masks import Outline, draw_outline, perlin_masks
from ai_core.synthesis.poisson import poisson_blend
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import CutPasteSettings

_LARGEST_PIECE = 0.8
"""The piece is at most this share of the source image, as in the released code."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Parameters drawn for CutPaste.

    Attributes:
        outline: the mask in the target.
        row: the piece's centre in the source, down, in pixels.
        column: the piece's centre in the source, right, in pixels.
        view: takes an offset from the mask's centre to one from the piece's centre.
    """

    outline: Outline
    row: float
    column: float
    view: Matrix

    @property
    def box(self) -> Box:
        """Box of the mask."""
        return self.outline.box


def draw_piece(
    box: Box, settings: CutPasteSettings, stream: SeededStream, *, height: int, width: int
) -> Piece:
    """Draw the outline, the turn, the scale and the piece's place, in this order."""
    outline = draw_outline(box, settings.mask, stream)
    angle = math.radians(stream.uniform(-settings.turn, settings.turn))
    cosine, sine = math.cos(angle), math.sin(angle)
    high, wide = box.extent
    tall, broad = high * abs(cosine) + wide * abs(sine), high * abs(sine) + wide * abs(cosine)
    smallest = max(tall / height, broad / width) * 2 / _LARGEST_PIECE
    zoom = max(settings.scale.draw(stream), smallest)
    row = _near(box.row, tall / zoom, settings.reach * height, height, stream)
    column = _near(box.column, broad / zoom, settings.reach * width, width, stream)
    view = (cosine / zoom, -sine / zoom, sine / zoom, cosine / zoom)
    return Piece(outline, row, column, view)


def _near(place: float, extent: float, reach: float, size: int, stream: SeededStream) -> float:
    """Draw a centre within reach of a place, the piece wholly within the image."""
    first, last = extent, size - 1 - extent
    low, high = max(first, place - reach), min(last, place + reach)
    if low <= high:
        return stream.uniform(low, high)
    return min(max(place, first), max(first, last))


def cut_paste(
    targets: Tensor,
    sources: Tensor,
    pieces: Sequence[Piece],
    windows: Sequence[Window],
    *,
    settings: CutPasteSettings,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Blend a view of each source into its target inside a mask.

    Args:
        targets: windows of images, float32 in [0, 1], shape (n, C, height, width).
        sources: other normal images, whole, shape (n, C, H, W).
        pieces: what was drawn for each.
        windows: position of each window in its image.
        settings: says how the masks are cut and the pieces blended.
        allowed: pixels that masks may cover, bool, shape (n, height, width).

    Returns:
        The changed windows, and the masks, bool, shape (n, height, width).
    """
    outlines = [piece.outline for piece in pieces]
    masks = perlin_masks(outlines, windows, settings=settings.mask, device=targets.device)
    if allowed is not None:
        masks &= allowed
    views = _views(sources, pieces, windows)
    if settings.blend == "poisson":
        return poisson_blend(targets, views, masks), masks
    return torch.where(masks[:, None], views, targets), masks


def _views(sources: Tensor, pieces: Sequence[Piece], windows: Sequence[Window]) -> Tensor:
    """Sample the sources in the targets' windows, shape (n, C, height, width)."""
    rows, columns = offsets([piece.box for piece in pieces], windows, sources.device)
    down, right = transform([piece.view for piece in pieces], rows, columns)
    height, width = sources.shape[-2:]
    centres = torch.tensor([(piece.row, piece.column) for piece in pieces]).to(sources.device)
    grid = torch.stack(
        [
            (right + centres[:, 1, None, None]) * (2 / max(width - 1, 1)) - 1,
            (down + centres[:, 0, None, None]) * (2 / max(height - 1, 1)) - 1,
        ],
        dim=-1,
    )
    return F.grid_sample(
        sources, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    ).clamp(0, 1)
