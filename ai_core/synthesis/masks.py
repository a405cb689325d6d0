"""Outlines of synthetic anomalies: binarised Perlin noise, ellipses and rectangles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.boxes import Box, Matrix, Window, offsets, transform
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import PerlinSettings

Shape = Literal["ellipse", "rectangle"]

_FIELD = 64
"""Noise is computed at so many places along a side of its box, and interpolated from there."""

_CANDIDATES = 12
_COARSE = 24
_QUARTER_TURN = math.pi / 2


@dataclass(frozen=True, slots=True)
class Outline:
    """Parameters drawn for a mask of Perlin noise.

    Attributes:
        box: its box.
        noise: takes pixel offsets to the noise's own coordinates, from -1 to 1 over its lattice.
        cells: lattice cells down and right.
        directions: of the lattice's gradients, radians, shape (candidates, most + 1, most + 1).
        share: of the bound that the mask fills; unused with a threshold.
    """

    box: Box
    noise: Matrix
    cells: tuple[int, int]
    directions: Tensor
    share: float


def draw_outline(box: Box, settings: PerlinSettings, stream: SeededStream) -> Outline:
    """Draw the noise of a mask: cells, a turn in an upright box, share, gradients.

    Args:
        box: turned already for an elliptic bound, upright for a box.
        settings: what to draw from.
        stream: the source of every draw.
    """
    cells = (stream.choose(settings.cells), stream.choose(settings.cells))
    noise = box.matrix
    if settings.bound == "box":
        angle = stream.uniform(-_QUARTER_TURN, _QUARTER_TURN)
        cosine, sine = math.cos(angle), math.sin(angle)
        high, wide = 1 / box.extent[0], 1 / box.extent[1]
        noise = (cosine * high, sine * high, -sine * wide, cosine * wide)
    share = stream.uniform(*settings.share)
    corners = max(settings.cells) + 1
    candidates = 1 if settings.threshold is None else _CANDIDATES
    return Outline(box, noise, cells, stream.directions(candidates, corners, corners), share)


def perlin_masks(
    outlines: Sequence[Outline],
    windows: Sequence[Window],
    *,
    settings: PerlinSettings,
    device: torch.device,
) -> Tensor:
    """Cut the noise of a batch of outlines into masks, bool, shape (n, height, width)."""
    fields = perlin_noise(
        torch.stack([outline.directions for outline in outlines]),
        [outline.cells for outline in outlines],
        size=_FIELD,
    )
    if settings.threshold is None:
        levels = _levels(fields[:, 0], [outline.share for outline in outlines])
    else:
        fields = _large_enough(fields, outlines, threshold=settings.threshold, least=settings.least)
        levels = torch.full((len(outlines),), settings.threshold)
    boxes = [outline.box for outline in outlines]
    rows, columns = offsets(boxes, windows, device)
    first, second = transform([outline.noise for outline in outlines], rows, columns)
    noise = _look_up(fields[:, :1].to(device), first, second)[:, 0]
    if settings.bound == "ellipse":
        inside = relative_radii(first, second, "ellipse") <= 1
    else:
        upright = transform([box.matrix for box in boxes], rows, columns)
        inside = relative_radii(first, second, "rectangle") <= 1
        inside &= relative_radii(*upright, "rectangle") <= 1
    return inside & (noise > levels.to(device)[:, None, None])


def relative_radii(first: Tensor, second: Tensor, shape: Shape) -> Tensor:
    """Compute the distance from the middle over that of the rim: 0 in the middle, 1 on the rim.

    Args:
        first: unit coordinate along the first axis.
        second: unit coordinate along the second axis, the same shape.
        shape: ellipse or rectangle.
    """
    if shape == "ellipse":
        return (first.square() + second.square()).sqrt()
    return torch.maximum(first.abs(), second.abs())


def perlin_noise(directions: Tensor, cells: Sequence[tuple[int, int]], *, size: int) -> Tensor:
    """Compute gradient noise (Perlin 1985), about in [-1, 1], each field on its own lattice.

    At a point, noise is the sum over the lattice's corners of fade(y) fade(x) (g · offset). Both
    terms of the scalar product are products of a function of y and one of x, so that a whole
    field is two small matrix products.

    Args:
        directions: of the gradients, radians, shape (n, candidates, most + 1, most + 1).
        cells: lattice cells down and right, n pairs, at most ``most``.
        size: places along a side of the field.

    Returns:
        float32, shape (n, candidates, size, size).
    """
    corners = directions.shape[-1]
    near_rows, pull_rows = _weights([down for down, _ in cells], corners, size)
    near_columns, pull_columns = _weights([right for _, right in cells], corners, size)
    downwards = pull_rows @ torch.cos(directions) @ near_columns.transpose(-1, -2)
    sideways = near_rows @ torch.sin(directions) @ pull_columns.transpose(-1, -2)
    return math.sqrt(2) * (downwards + sideways)


def _weights(cells: Sequence[int], corners: int, size: int) -> tuple[Tensor, Tensor]:
    """Compute each corner's fade weight at each place, and it times the offset, (n, 1, size, c)."""
    places = torch.linspace(0, 1, size)[None, :] * torch.tensor(cells, dtype=torch.float32)[:, None]
    offset = places[:, None, :, None] - torch.arange(corners, dtype=torch.float32)
    distance = offset.abs().clamp_max(1)
    near = 1 - distance**3 * (distance * (distance * 6 - 15) + 10)
    return near, near * offset


def _levels(fields: Tensor, shares: Sequence[float]) -> Tensor:
    """Compute the level of each field above which a share of the ellipse remains, shape (n,)."""
    fields = fields[:, ::2, ::2]
    places = torch.linspace(-1, 1, _FIELD)[::2]
    disc = places[:, None].square() + places[None, :].square() <= 1
    values = fields[:, disc].sort(dim=1).values
    last = values.shape[1] - 1
    ranks = torch.tensor([round((1 - share) * last) for share in shares])
    return values.gather(1, ranks[:, None])[:, 0]


def _large_enough(
    fields: Tensor, outlines: Sequence[Outline], *, threshold: float, least: float
) -> Tensor:
    """Pick each outline's first candidate that fills enough of its box, else the largest."""
    places = torch.linspace(-1, 1, _COARSE)
    boxes = [outline.box for outline in outlines]
    extents = torch.tensor([box.extent for box in boxes])[:, :, None]
    rows, columns = (extents * places)[:, :1].transpose(1, 2), (extents * places)[:, 1:]
    first, second = transform([outline.noise for outline in outlines], rows, columns)
    inside = relative_radii(first, second, "rectangle")[:, None] <= 1
    noise = _look_up(fields, first, second)
    shares = (inside & (noise > threshold)).float().mean((-1, -2))
    enough = shares >= least
    chosen = torch.where(enough.any(1), enough.float().argmax(1), shares.argmax(1))
    return fields[torch.arange(len(fields)), chosen][:, None]


def _look_up(fields: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Interpolate fields (n, c, size, size) at unit coordinates (n, height, width)."""
    return F.grid_sample(
        fields,
        torch.stack([second, first], dim=-1),
        mode="bilinear",
        padding_mode="border",
        align_corners=True,
    )
