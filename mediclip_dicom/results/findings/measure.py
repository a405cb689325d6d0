"""Measurements of a region: volume, centre, and the diameters on its key image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

Mask = npt.NDArray[np.bool_]


def diameters(mask: Mask, pixel_size: tuple[float, float]) -> tuple[float, float]:
    """Measure the longest diameter of a mask and the longest one perpendicular to it, in mm.

    Pixels are rectangles, so that a single one has the diameter of its diagonal.

    Args:
        mask: (rows, columns), at least one pixel set.
        pixel_size: distance between rows and between columns in mm.
    """
    row, column = np.nonzero(mask)
    step = np.asarray(pixel_size, dtype=np.float64)
    centres = np.stack([row, column], axis=1) * step
    outline = _outline(mask) * step
    corners = outline[ConvexHull(outline).vertices]
    between = corners[:, np.newaxis] - corners[np.newaxis]
    lengths = np.linalg.norm(between, axis=2)
    longest = int(lengths.argmax())
    direction = between.reshape(-1, 2)[longest] / lengths.flat[longest]
    across = np.array([-direction[1], direction[0]])
    return float(lengths.flat[longest]), _longest_chord(centres, direction, across, step)


def _outline(mask: Mask) -> npt.NDArray[np.float64]:
    """List the corners of the outer pixels of each row, in pixels; their hull is the mask's."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points = [
        np.stack([rows + up, column + right], axis=1)
        for up in (-0.5, 0.5)
        for column, right in ((first, -0.5), (last, 0.5))
    ]
    return np.concatenate(points).astype(np.float64)


def _longest_chord(
    centres: npt.NDArray[np.float64],
    direction: npt.NDArray[np.float64],
    across: npt.NDArray[np.float64],
    step: npt.NDArray[np.float64],
) -> float:
    """Measure the longest extent across a direction, in strips as wide as a pixel."""
    width = float(np.abs(direction) @ step)
    strip = np.floor((centres @ direction - (centres @ direction).min()) / width).astype(np.int64)
    place = centres @ across
    low, high = np.full(strip.max() + 1, np.inf), np.full(strip.max() + 1, -np.inf)
    np.minimum.at(low, strip, place)
    np.maximum.at(high, strip, place)
    return float((high - low).max() + np.abs(across) @ step)
