"""Foreground: pixels of the body, not of the surround (air, a sector's corners, padding)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.seeded_stream import SeededStream

ndimage: Any = scipy.ndimage  # scipy ships no types

_CELLS = 56
_TOLERANCE = 0.06
_SURROUNDS = 3
_EXTREME = 0.25
_OF_RIM = 0.5
_DEEPEST = 0.8
_SMALLEST_PART = 0.1
_SMALLEST_BODY = 0.02

Cells = npt.NDArray[np.bool_]


def body_cells(images: Tensor) -> list[Cells]:
    """Find the body on a coarse grid.

    The surround is what is about as dark as the darkest pixels and reaches the image's edge.
    Within that, the rim of what is left may show another surround of one dark or bright level (a
    grey frame in black padding, the white of an inverted radiograph), and so on. What a surround
    encloses, as lungs, belongs to the body; specks outside the body, such as burnt-in text, don't.
    Where nothing worth mention would be left, all is body.

    Args:
        images: float32 in [0, 1], shape (B, C, H, W).

    Returns:
        B arrays of bool; each cell covers an equal part of the image.
    """
    height, width = images.shape[-2:]
    size = (min(_CELLS, height), min(_CELLS, width))
    pooled = F.adaptive_avg_pool2d(images, size).mean(1).cpu().numpy()
    return [_body(cells) for cells in pooled]


def body_pixels(cells: Sequence[Cells], *, height: int, width: int, device: torch.device) -> Tensor:
    """Upsample `body_cells` to pixels, bool, shape (B, height, width)."""
    coarse = torch.from_numpy(np.stack(cells)).to(device, torch.float32)[:, None]
    full = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return full[:, 0] > 0.5


def draw_centre(
    cells: Cells, stream: SeededStream, *, depth: float, height: int, width: int
) -> tuple[float, float]:
    """Draw a place on the body, row and column in pixels.

    Args:
        cells: the body.
        stream: the source of the draw.
        depth: distance of the place from the body's rim, in pixels; a body that isn't so deep
            gives its deepest places.
        height: of the image, in pixels.
        width: of the image, in pixels.
    """
    high, wide = height / cells.shape[0], width / cells.shape[1]
    # Where the image ends, the body goes on.
    around = np.pad(cells, 1, mode="edge")
    depths = ndimage.distance_transform_edt(around, sampling=(high, wide))[1:-1, 1:-1]
    rows, columns = np.nonzero(cells & (depths >= min(depth, _DEEPEST * float(depths.max()))))
    index = stream.choose(range(len(rows)))
    row = (float(rows[index]) + stream.uniform()) * high
    column = (float(columns[index]) + stream.uniform()) * wide
    return row - 0.5, column - 0.5


def _body(cells: npt.NDArray[np.float32]) -> Cells:
    everything = np.ones(cells.shape, dtype=np.bool_)
    low, high = float(cells.min()), float(np.percentile(cells, 99))
    tolerance = _TOLERANCE * (high - low)
    if tolerance <= 0:
        return everything
    surround = _touching(cells <= low + tolerance, _edge(everything))
    for _ in range(_SURROUNDS):
        if surround.all():
            return everything
        rim = _edge(~surround)
        level = float(np.median(cells[rim]))
        near = np.abs(cells - level) <= tolerance
        extreme = min(level - low, high - level) <= _EXTREME * (high - low)
        if not extreme or near[rim].mean() < _OF_RIM:
            break
        surround |= _touching(near, rim)
    body = _large_parts(~surround)
    return body if body.mean() >= _SMALLEST_BODY else everything


def _edge(cells: Cells) -> Cells:
    """Return the rim of the smallest upright box around the cells."""
    rows, columns = np.nonzero(cells.any(1))[0], np.nonzero(cells.any(0))[0]
    edge = np.zeros_like(cells)
    edge[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    edge[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]] = False
    return edge


def _touching(cells: Cells, places: Cells) -> Cells:
    """Return the connected parts of ``cells`` that reach one of the places."""
    parts, _ = ndimage.label(cells)
    reached = np.unique(parts[places & cells])
    return np.isin(parts, reached[reached > 0])


def _large_parts(cells: Cells) -> Cells:
    """Keep parts that aren't specks; cut off thin lines and fill holes."""
    parts, count = ndimage.label(ndimage.binary_opening(cells) if cells.sum() > 9 else cells)
    if count == 0:
        return cells
    areas = np.bincount(parts.ravel())[1:]
    kept = np.nonzero(areas >= _SMALLEST_PART * areas.max())[0] + 1
    filled: Cells = ndimage.binary_fill_holes(np.isin(parts, kept))
    return filled
