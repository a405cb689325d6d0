"""Where a synthetic anomaly goes: binarised Perlin noise, ellipses and rectangles."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ai_core.synthesis.draws import integer, uniform

Shape = Literal["ellipse", "rectangle"]


@dataclass(frozen=True, slots=True)
class Placement:
    """A turned box in the image, in pixels.

    Attributes:
        row: centre, down.
        column: centre, right.
        half_height: half side along the box's own first axis.
        half_width: half side along the box's own second axis.
        angle: turn in radians.
    """

    row: float
    column: float
    half_height: float
    half_width: float
    angle: float

    def local(self, side: int) -> tuple[Tensor, Tensor]:
        """Pixel coordinates in the box's own axes, centred, two tensors (side, side)."""
        places = torch.arange(side, dtype=torch.float32)
        rows = (places - self.row)[:, None]
        columns = (places - self.column)[None, :]
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return rows * cosine + columns * sine, columns * cosine - rows * sine


def draw_placement(
    allowed: Tensor, *, low: float, high: float, generator: torch.Generator
) -> Placement:
    """Draw a box with its centre on an allowed pixel.

    Args:
        allowed: bool, shape (side, side); at least one pixel is true.
        low: smallest side of the box, as a share of the image's side.
        high: largest side, likewise; sizes are drawn evenly on a logarithmic scale.
        generator: the source of every draw.
    """
    side = allowed.shape[-1]
    places = allowed.flatten().nonzero().flatten()
    pixel = int(places[integer(0, len(places), generator)])
    sizes = [
        side * math.exp(uniform(math.log(low), math.log(high), generator)) / 2 for _ in range(2)
    ]
    return Placement(
        row=float(pixel // side),
        column=float(pixel % side),
        half_height=sizes[0],
        half_width=sizes[1],
        angle=uniform(0.0, math.pi, generator),
    )


def shape_mask(placement: Placement, shape: Shape, *, side: int) -> Tensor:
    """A filled ellipse or rectangle, bool, shape (side, side)."""
    first, second = placement.local(side)
    first, second = first / placement.half_height, second / placement.half_width
    if shape == "ellipse":
        return first.square() + second.square() <= 1
    return torch.maximum(first.abs(), second.abs()) <= 1


def perlin_noise(cells: tuple[int, int], *, side: int, generator: torch.Generator) -> Tensor:
    """Gradient noise after Perlin (1985), float32, shape (side, side), about in [-1, 1].

    Args:
        cells: number of lattice cells down and right; more cells give finer noise.
        side: pixels along a side.
        generator: draws the lattice's directions.
    """
    down, right = cells
    angles = 2 * math.pi * torch.rand(down + 1, right + 1, generator=generator)
    gradients = torch.stack([torch.cos(angles), torch.sin(angles)], dim=-1)
    y, y_cell = _lattice(down, side)
    x, x_cell = _lattice(right, side)
    corners = []
    for dy in (0, 1):
        for dx in (0, 1):
            gradient = gradients[y_cell + dy][:, x_cell + dx]
            corners.append(gradient[..., 0] * (y - dy)[:, None] + gradient[..., 1] * (x - dx))
    fade_x, fade_y = _fade(x)[None, :], _fade(y)[:, None]
    top = torch.lerp(corners[0], corners[1], fade_x)
    bottom = torch.lerp(corners[2], corners[3], fade_x)
    return math.sqrt(2) * torch.lerp(top, bottom, fade_y)


def perlin_mask(placement: Placement, *, side: int, generator: torch.Generator) -> Tensor:
    """A ragged blob: Perlin noise at one of several scales, binarised inside a turned ellipse.

    Returns:
        bool, shape (side, side), never empty.
    """
    size = 2 * max(placement.half_height, placement.half_width)
    finest = max(2, round(side / max(size, 1.0)) * 2)
    cells = (integer(1, finest + 1, generator), integer(1, finest + 1, generator))
    noise = perlin_noise(cells, side=side, generator=generator)
    ellipse = shape_mask(placement, "ellipse", side=side)
    if not bool(ellipse.any()):
        ellipse[round(placement.row), round(placement.column)] = True
    inside = noise[ellipse]
    share = uniform(0.35, 0.9, generator)
    threshold = torch.quantile(inside, 1 - share)
    return ellipse & (noise >= threshold)


def _lattice(cells: int, side: int) -> tuple[Tensor, Tensor]:
    places = (torch.arange(side, dtype=torch.float32) + 0.5) * cells / side
    cell = places.floor().clamp_max(cells - 1)
    return places - cell, cell.long()


def _fade(t: Tensor) -> Tensor:
    return t * t * t * (t * (t * 6 - 15) + 10)
