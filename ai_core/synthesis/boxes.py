"""Geometry of an anomaly: a rotated box in the image, and the window of pixels around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Matrix = tuple[float, float, float, float]
"""A 2 x 2 matrix, row by row; vectors are (down, right)."""

_STEP = 64
"""Windows come in multiples of this, so that several anomalies share one computation."""


@dataclass(frozen=True, slots=True)
class Box:
    """A turned, perhaps sheared box; within it, unit coordinates run from -1 to 1.

    Attributes:
        row: centre, down, in pixels.
        column: centre, right, in pixels.
        matrix: takes an offset from the centre, in pixels, to unit coordinates.
        extent: how far the box reaches from its centre, down and right, in pixels.
    """

    row: float
    column: float
    matrix: Matrix
    extent: tuple[float, float]

    def at(self, row: float, column: float) -> "Box":
        """Return the same box with another centre."""
        return Box(row, column, self.matrix, self.extent)


def make_box(
    half_height: float,
    half_width: float,
    *,
    angle: float,
    shear: tuple[float, float] = (0.0, 0.0),
    limit: tuple[float, float] | None = None,
) -> Box:
    """Make a box around (0, 0).

    Args:
        half_height: half its first side, in pixels.
        half_width: half its second side, in pixels.
        angle: turn in radians.
        shear: of the first and the second axis, before the turn.
        limit: the largest extent, down and right; a box that reaches further is made smaller.
    """
    cosine, sine = math.cos(angle), math.sin(angle)
    a = (cosine - sine * shear[1]) * half_height
    b = (cosine * shear[0] - sine) * half_width
    c = (sine + cosine * shear[1]) * half_height
    d = (sine * shear[0] + cosine) * half_width
    extent = (abs(a) + abs(b), abs(c) + abs(d))
    shrink = 1.0
    if limit is not None:
        shrink = min(1.0, limit[0] / extent[0], limit[1] / extent[1])
    determinant = (a * d - b * c) * shrink
    matrix = (d / determinant, -b / determinant, -c / determinant, a / determinant)
    return Box(0.0, 0.0, matrix, (extent[0] * shrink, extent[1] * shrink))


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels.

    Attributes:
        top: first row.
        left: first column.
        height: rows.
        width: columns.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an image with."""
        return (
            slice(self.top, self.top + self.height),
            slice(self.left, self.left + self.width),
        )


def window_around(box: Box, *, margin: float, height: int, width: int) -> Window:
    """Return the smallest common window that holds the box and a margin, within the image."""
    reach = max(box.extent) + margin
    size = _STEP * math.ceil((2 * reach + 2) / _STEP)
    tall, wide = min(size, height), min(size, width)
    top = min(max(math.floor(box.row - tall / 2), 0), height - tall)
    left = min(max(math.floor(box.column - wide / 2), 0), width - wide)
    return Window(top, left, tall, wide)


def cut(images: Tensor, indices: Sequence[int], windows: Sequence[Window]) -> Tensor:
    """Cut windows out of some images, shape (n, ..., height, width)."""
    return torch.stack([images[(i, ..., *w.slices)] for i, w in zip(indices, windows, strict=True)])


def offsets(
    boxes: Sequence[Box], windows: Sequence[Window], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Compute pixel offsets from the boxes' centres: (n, height, 1) and (n, 1, width)."""
    down = torch.arange(windows[0].height, dtype=torch.float32)
    right = torch.arange(windows[0].width, dtype=torch.float32)
    pairs = list(zip(boxes, windows, strict=True))
    starts = torch.tensor([(w.top - b.row, w.left - b.column) for b, w in pairs])
    rows = starts[:, :1, None] + down[None, :, None]
    columns = starts[:, 1:, None] + right[None, None, :]
    return rows.to(device), columns.to(device)


def transform(matrices: Sequence[Matrix], rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply offsets by a matrix each; two tensors (n, height, width)."""
    values = torch.tensor(matrices, dtype=torch.float32).to(rows.device)[:, :, None, None]
    return (
        values[:, 0] * rows + values[:, 1] * columns,
        values[:, 2] * rows + values[:, 3] * columns,
    )
