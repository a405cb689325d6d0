"""Picture of a finding beside the normal patch that is nearest to it, at the same scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mediclip_dicom.results.comparison import NormalPatch, patch_box

RGB = npt.NDArray[np.uint8]

MOST_PAIRS = 3
"""Pairs that one picture shows; more would make it wider than a screen."""

_FIELD = 7
"""Side of the shown field in patches: one patch alone can't be recognised."""

_SIDE, _MARGIN, _LINE, _FONT, _HEAD = 250, 12, 18, 13, 30
_WHITE, _GREY = (255, 255, 255), (170, 170, 170)


@dataclass(frozen=True, slots=True)
class Pair:
    """Finding and its nearest normal patch.

    Attributes:
        normal: the normal patch, with the picture of its image.
        found: the key image as the detector saw it, uint8, shape (224, 224, 3).
        k: number of normal studies.
    """

    normal: NormalPatch
    found: RGB
    k: int


def put_beside(fused: RGB, pairs: Sequence[Pair]) -> RGB:
    """Put pairs to the right of a fused picture, each a column: the finding over what is normal.

    Args:
        fused: (height, width, 3) uint8.
        pairs: the first `MOST_PAIRS` of them are drawn.

    Returns:
        A wider picture, at least as high; the same where there is no pair.
    """
    shown = pairs[:MOST_PAIRS]
    if not shown:
        return fused
    height = max(fused.shape[0], _HEAD + 2 * (_SIDE + 2 * _LINE + _MARGIN) + _LINE)
    width = fused.shape[1] + len(shown) * (_SIDE + _MARGIN)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(Image.fromarray(fused), (0, 0))
    draw = ImageDraw.Draw(canvas)
    for number, pair in enumerate(shown):
        _draw_pair(canvas, draw, pair, left=fused.shape[1] + number * (_SIDE + _MARGIN))
    if len(pairs) > len(shown):
        text = f"{len(pairs) - len(shown)} more findings on this image"
        draw.text((fused.shape[1], height - _LINE), text, fill=_GREY, font=_font())
    return np.asarray(canvas)


def _draw_pair(canvas: Image.Image, draw: ImageDraw.ImageDraw, pair: Pair, *, left: int) -> None:
    normal = pair.normal
    top = _HEAD
    draw.text((left, top), f"Finding {normal.finding}, without colour", fill=_WHITE, font=_font())
    top += _LINE
    _paste(canvas, draw, pair.found, normal.peak, grid=normal.grid, corner=(left, top))
    top += _SIDE + _MARGIN
    draw.text((left, top), "Nearest in the normal studies:", fill=_WHITE, font=_font())
    top += _LINE
    if normal.picture is None:
        draw.text((left, top), "its picture was not kept", fill=_GREY, font=_font())
        return
    _paste(canvas, draw, normal.picture, normal.place, grid=normal.grid, corner=(left, top))
    text = f"study {normal.number} of {pair.k}, distance {normal.distance:.2f}"
    draw.text((left, top + _SIDE + 4), text, fill=_GREY, font=_font())


def _paste(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    picture: RGB,
    place: tuple[int, int],
    *,
    grid: int,
    corner: tuple[int, int],
) -> None:
    """Draw the field around a patch, moved inside the picture at its edges, with its box."""
    side = picture.shape[0]
    field = min(side, round(_FIELD * side / grid))
    box = patch_box(place, grid=grid, side=side)
    first = [
        min(max(0, round((low + high + 1 - field) / 2)), side - field)
        for low, high in ((box[0], box[2]), (box[1], box[3]))
    ]
    cut = picture[first[0] : first[0] + field, first[1] : first[1] + field]
    canvas.paste(
        Image.fromarray(np.ascontiguousarray(cut)).resize(
            (_SIDE, _SIDE), Image.Resampling.BILINEAR
        ),
        corner,
    )
    scale = _SIDE / field
    draw.rectangle(
        (
            corner[0] + (box[1] - first[1]) * scale,
            corner[1] + (box[0] - first[0]) * scale,
            corner[0] + (box[3] + 1 - first[1]) * scale - 1,
            corner[1] + (box[2] + 1 - first[0]) * scale - 1,
        ),
        outline=(255, 221, 0),
    )


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT)
