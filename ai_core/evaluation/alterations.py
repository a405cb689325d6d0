"""Alterations of tested pictures: pictures that a scope guard should stop.

Others than those that the guard is fitted with: other strengths, places and sides. Turned,
mirrored and inverted pictures have no strength. "inverted inside" and the two tone curves are
stand-ins for another sequence or contrast phase.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.ndimage

ndimage: Any = scipy.ndimage  # scipy ships no types

Pixels = npt.NDArray[np.float32]

PictureAlteration = Callable[[Pixels, np.random.Generator], Pixels]
"""Alters a picture, float32 in [0, 1], shape (rows, columns, 3)."""


def _inverted_inside(picture: Pixels, _: np.random.Generator) -> Pixels:
    inside = ndimage.binary_fill_holes(picture.mean(2) > 0.06)
    return np.where(inside[..., None], 1 - picture, picture)


def _cropped(share: float, *, down: float, right: float) -> PictureAlteration:
    def crop(picture: Pixels, _: np.random.Generator) -> Pixels:
        rows, columns = picture.shape[:2]
        height, width = max(2, int(rows * share)), max(2, int(columns * share))
        top, left = int((rows - height) * down), int((columns - width) * right)
        return picture[top : top + height, left : left + width]

    return crop


def _blank(share: float, *, axis: int) -> PictureAlteration:
    def blank(picture: Pixels, _: np.random.Generator) -> Pixels:
        changed = picture.copy()
        end = int(picture.shape[axis] * share)
        changed[(slice(None),) * axis + (slice(end),)] = 0
        return changed

    return blank


def _blurred(share: float) -> PictureAlteration:
    def blur(picture: Pixels, _: np.random.Generator) -> Pixels:
        deviation = share * max(picture.shape[:2])
        blurred: Pixels = ndimage.gaussian_filter(picture, (deviation, deviation, 0))
        return blurred

    return blur


def _noisy(deviation: float) -> PictureAlteration:
    """Add noise whose grain is a pixel of the detector's input, whatever the picture's size."""

    def add_noise(picture: Pixels, draw: np.random.Generator) -> Pixels:
        rows, columns = picture.shape[:2]
        grain = max(1, round(max(rows, columns) / 224))
        noise = draw.normal(size=(-(-rows // grain), -(-columns // grain)))
        fine = noise.repeat(grain, 0).repeat(grain, 1)[:rows, :columns, None]
        return np.clip(picture + deviation * fine, 0, 1).astype(np.float32)

    return add_noise


PICTURE_ALTERATIONS: Mapping[str, PictureAlteration] = {
    "inverted": lambda picture, _: 1 - picture,
    "inverted inside": _inverted_inside,
    "cropped to the middle 50 %": _cropped(0.5, down=0.5, right=0.5),
    "cropped to a corner 60 %": _cropped(0.6, down=0.0, right=1.0),
    "turned by 90": lambda picture, _: np.rot90(picture),
    "turned by 180": lambda picture, _: np.rot90(picture, 2),
    "turned by 270": lambda picture, _: np.rot90(picture, 3),
    "mirrored": lambda picture, _: picture[:, ::-1],
    "upside down": lambda picture, _: picture[::-1],
    "left 50 % blank": _blank(0.5, axis=1),
    "upper 45 % blank": _blank(0.45, axis=0),
    "blurred, 1.5 % of the side": _blurred(0.015),
    "blurred, 3.5 % of the side": _blurred(0.035),
    "noisy, 0.08": _noisy(0.08),
    "noisy, 0.2": _noisy(0.2),
    "tone curve 0.4": lambda picture, _: picture**0.4,
    "tone curve 2.5": lambda picture, _: picture**2.5,
}
"""Alterations by name; a curve's number is its exponent, noise has a deviation of the grey range,
and blur one of the picture's longer side."""
