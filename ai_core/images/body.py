"""Box around the body: the part of an image that is worth the detector's 224 pixels."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from ai_core.images.placement import Box
from ai_core.synthesis import body_cells

MARGIN = 2
"""Cells of the 56x56 grid, on which the body is found, that are added on each side."""


def body_box(rgb: npt.NDArray[np.float32]) -> Box:
    """Find the smallest upright box around the body, with a margin of 1/28 of the image.

    The surround is air, a sector's corners, padding or an inverted radiograph's white; where no
    surround is found the box is the whole image.

    Args:
        rgb: (rows, columns, 3) float32 in [0, 1], as displayed.

    Returns:
        First row, first column, rows and columns, in pixels.

    Example:
        >>> import numpy as np
        >>> from ai_core import body_box
        >>> image = np.zeros((112, 224, 3), dtype=np.float32)
        >>> image[40:80, 60:120] = np.linspace(0.3, 0.9, 60, dtype=np.float32)[:, None]
        >>> body_box(image)
        (36, 52, 48, 76)
    """
    (cells,) = body_cells(torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None])
    rows = _extent(np.any(cells, axis=1), length=rgb.shape[0])
    columns = _extent(np.any(cells, axis=0), length=rgb.shape[1])
    return rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0]


def join_boxes(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around boxes, at least one."""
    corners = np.array(
        [(top, left, top + rows, left + columns) for top, left, rows, columns in boxes]
    )
    (top, left), (bottom, right) = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    return int(top), int(left), int(bottom - top), int(right - left)


def _extent(cells: npt.NDArray[np.bool_], *, length: int) -> tuple[int, int]:
    """Return first pixel and end of the marked cells with their margin."""
    marked = np.flatnonzero(cells)
    first = max(0, int(marked[0]) - MARGIN)
    end = min(len(cells), int(marked[-1]) + 1 + MARGIN)
    # Cells of adaptive pooling begin at the floor, and end at the ceiling, of their share.
    return first * length // len(cells), -(-end * length // len(cells))
