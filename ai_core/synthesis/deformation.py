"""Source deformation: the inside of a shape pushed outwards from a centre (MediCLIP Eq. 5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.boxes import Box, Window, offsets, transform
from ai_core.synthesis.masks import Shape, relative_radii
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import SourceSettings

_OFF_CENTRE = 0.95
"""A drawn centre stays this share of the way from the middle to the rim."""


@dataclass(frozen=True, slots=True)
class Bulge:
    """Parameters drawn for a deformation.

    Attributes:
        box: the shape's.
        shape: ellipse or rectangle.
        centre: the point that is stretched, in unit coordinates of the box.
        alpha: α of Eq. 5.
    """

    box: Box
    shape: Shape
    centre: tuple[float, float]
    alpha: float


def draw_bulge(box: Box, settings: SourceSettings, stream: SeededStream) -> Bulge:
    """Draw shape, α and centre, in this order."""
    shape: Shape = stream.choose(("ellipse", "rectangle"))
    alpha = settings.alpha.draw(stream)
    if settings.centre == "middle":
        return Bulge(box, shape, (0.0, 0.0), alpha)
    while True:
        centre = (stream.uniform(-1, 1), stream.uniform(-1, 1))
        if shape == "rectangle" or centre[0] ** 2 + centre[1] ** 2 <= 1:
            break
    return Bulge(box, shape, (centre[0] * _OFF_CENTRE, centre[1] * _OFF_CENTRE), alpha)


def source_deformation(
    targets: Tensor, bulges: Sequence[Bulge], windows: Sequence[Window]
) -> tuple[Tensor, Tensor]:
    """Sample each pixel p of a shape from c + (p - c)(|p - c| / R)^(α - 1) (MediCLIP Eq. 5).

    R is the distance from c to the shape's rim in the direction of p, so that the rim stays where
    it is, and α = 1 is the identity. Larger α stretches the surroundings of c over the shape.

    Args:
        targets: windows of images, float32 in [0, 1], shape (n, C, height, width).
        bulges: what was drawn for each.
        windows: position of each window in its image.

    Returns:
        The deformed windows, and the shapes, bool, shape (n, height, width).
    """
    rows, columns = offsets([bulge.box for bulge in bulges], windows, targets.device)
    matrices = [bulge.box.matrix for bulge in bulges]
    first, second = transform(matrices, rows, columns)
    rectangular = torch.tensor([bulge.shape == "rectangle" for bulge in bulges])
    rectangular = rectangular.to(targets.device)[:, None, None]
    mask = torch.where(
        rectangular,
        relative_radii(first, second, "rectangle") <= 1,
        relative_radii(first, second, "ellipse") <= 1,
    )
    share = torch.where(
        rectangular,
        _share_of_rectangle(first, second, bulges),
        _share_of_ellipse(first, second, bulges),
    )
    alphas = _column([bulge.alpha for bulge in bulges], targets)
    pull = torch.where(mask, share.clamp(1e-6, 1) ** (alphas - 1), 1.0)
    centres = [_centre_offset(bulge) for bulge in bulges]
    down, right = (_column([centre[axis] for centre in centres], targets) for axis in (0, 1))
    tops = _column([w.top - b.box.row for w, b in zip(windows, bulges, strict=True)], targets)
    lefts = _column([w.left - b.box.column for w, b in zip(windows, bulges, strict=True)], targets)
    from_rows = down + (rows - down) * pull - tops
    from_columns = right + (columns - right) * pull - lefts
    grid = torch.stack(
        [
            from_columns * (2 / max(windows[0].width - 1, 1)) - 1,
            from_rows * (2 / max(windows[0].height - 1, 1)) - 1,
        ],
        dim=-1,
    )
    sampled = F.grid_sample(
        targets, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return torch.where(mask[:, None], sampled, targets), mask


def _share_of_ellipse(first: Tensor, second: Tensor, bulges: Sequence[Bulge]) -> Tensor:
    """Compute |p - c| / R within the unit circle: the root of |c + (p - c) / share| = 1."""
    c1, c2 = (_column([bulge.centre[axis] for bulge in bulges], first) for axis in (0, 1))
    d1, d2 = first - c1, second - c2
    along = c1 * d1 + c2 * d2
    room = 1 - c1.square() - c2.square()
    return (along + (along.square() + (d1.square() + d2.square()) * room).sqrt()) / room


def _share_of_rectangle(first: Tensor, second: Tensor, bulges: Sequence[Bulge]) -> Tensor:
    """Compute |p - c| / R within the unit square, by the side that is met first."""
    shares = []
    for axis, values in enumerate((first, second)):
        centre = _column([bulge.centre[axis] for bulge in bulges], values)
        away = values - centre
        shares.append(torch.maximum(away / (1 - centre), -away / (1 + centre)))
    return torch.maximum(*shares)


def _centre_offset(bulge: Bulge) -> tuple[float, float]:
    """Return the centre in pixels from the box's: the inverse of the box's matrix times it."""
    a, b, c, d = bulge.box.matrix
    determinant = a * d - b * c
    first, second = bulge.centre
    return (d * first - b * second) / determinant, (a * second - c * first) / determinant


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).to(like.device)[:, None, None]
