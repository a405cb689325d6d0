"""Which pixels show the body, and which are the surround: air, a sector's corners, padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.draws import Draws

ndimage: Any = scipy.ndimage  # scipy ships no types

_CELLS = 56
_TOLERANCE = 0.06
_BRIGHT_RIM = 0.5
_SMALLEST_PART = 0.1
_SMALLEST_BODY = 0.02

Cells = npt.NDArray[np.bool_]


def body_cells(images: Tensor) -> list[Cells]:
    """Find the body on a coarse grid.

    The surround is what is about as dark as the darkest pixels and reaches the image's edge, and
    then, within that, what is about as bright as the brightest and makes up most of the rim of
    what is left (inverted radiographs). What it encloses, as lungs, belongs to the body; specks
    beside the body, as burnt-in text, don't. Where nothing worth mention is left, all is body.

    Args:
        images: float32 in [0, 1], shape (B, C, H, W).

    Returns:
        B arrays of bool; each cell stands for an equal part of the image.
    """
    height, width = images.shape[-2:]
    grey = images.mean(1, keepdim=True)
    size = (min(_CELLS, height), min(_CELLS, width))
    pooled = F.adaptive_avg_pool2d(grey, size)[:, 0].cpu().numpy()
    return [_body(cells) for cells in pooled]


def body_pixels(cells: Sequence[Cells], *, height: int, width: int, device: torch.device) -> Tensor:
    """The same at full size, bool, shape (B, height, width)."""
    coarse = torch.from_numpy(np.stack(cells)).to(device, torch.float32)[:, None]
    full = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return full[:, 0] > 0.5


def draw_centre(cells: Cells, draws: Draws, *, height: int, width: int) -> tuple[float, float]:
    """A place on the body, row and column in pixels; off its rim where the body allows that."""
    inner = ndimage.binary_erosion(cells, border_value=1)
    rows, columns = np.nonzero(inner if inner.any() else cells)
    index = draws.choose(range(len(rows)))
    row = (rows[index] + draws.uniform()) * height / cells.shape[0]
    column = (columns[index] + draws.uniform()) * width / cells.shape[1]
    return float(row) - 0.5, float(column) - 0.5


def _body(cells: npt.NDArray[np.float32]) -> Cells:
    everything = np.ones(cells.shape, dtype=np.bool_)
    low, high = float(cells.min()), float(np.percentile(cells, 99))
    tolerance = _TOLERANCE * (high - low)
    if tolerance <= 0:
        return everything
    surround = _touching(cells <= low + tolerance, _edge(everything))
    if surround.all():
        return everything
    rim = _edge(~surround)
    bright = cells >= high - tolerance
    if bright[rim].mean() >= _BRIGHT_RIM:
        surround |= _touching(bright, rim)
    body = _large_parts(~surround)
    return body if body.mean() >= _SMALLEST_BODY else everything


def _edge(cells: Cells) -> Cells:
    """The rim of the smallest upright box around the cells."""
    rows, columns = np.nonzero(cells.any(1))[0], np.nonzero(cells.any(0))[0]
    edge = np.zeros_like(cells)
    edge[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    edge[rows[0] + 1 : rows[-1], columns[0] + 1 : columns[-1]] = False
    return edge


def _touching(cells: Cells, places: Cells) -> Cells:
    """The connected parts of ``cells`` that reach one of the places."""
    parts, _ = ndimage.label(cells)
    reached = np.unique(parts[places & cells])
    return np.isin(parts, reached[reached > 0])


def _large_parts(cells: Cells) -> Cells:
    """Parts that aren't specks, thin lines cut off, holes filled."""
    parts, count = ndimage.label(ndimage.binary_opening(cells) if cells.sum() > 9 else cells)
    if count == 0:
        return cells
    areas = np.bincount(parts.ravel())[1:]
    kept = np.nonzero(areas >= _SMALLEST_PART * areas.max())[0] + 1
    filled: Cells = ndimage.binary_fill_holes(np.isin(parts, kept))
    return filled
