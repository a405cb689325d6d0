"""Fused picture: an image, its anomaly map in colour, the scale, and the warning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mediclip_dicom.results.bands import bands

WARNING = "NOT FOR DIAGNOSTIC USE"

IMAGE_SIDE = 768
"""Longer side of the image in the picture, in pixels."""

_MARGIN, _HEAD, _FOOT, _LEGEND = 12, 30, 40, 210
_LINE, _FONT, _SMALL_FONT = 22, 16, 13
_WHITE, _GREY = (255, 255, 255), (170, 170, 170)
_DISTANCE = 4  # of a box from its finding
_WEAKEST, _STRONGEST = 0.35, 0.6

_OPPOSITES = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Caption:
    """Texts around a fused picture; no patient data.

    Attributes:
        lines: over the image, from the top.
        orientation: where rows and columns lead to, such as ("L", "P"); `None` where unknown.
    """

    lines: Sequence[str]
    orientation: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Box around a finding.

    Attributes:
        text: beside its upper left corner.
        box: first row, first column, last row and last column in the source's pixels, from 1.
    """

    text: str
    box: tuple[int, int, int, int]


def image_box(rows: int, columns: int, *, lines: int, pixel_aspect: float) -> tuple[int, ...]:
    """Return the image's box in its picture: left, top, right, bottom."""
    height, width = rows * pixel_aspect, float(columns)
    scale = IMAGE_SIDE / max(height, width)
    top = _HEAD + lines * _LINE
    return (
        _MARGIN,
        top,
        _MARGIN + max(1, round(width * scale)),
        top + max(1, round(height * scale)),
    )


def fuse(
    rgb: npt.NDArray[np.float32],
    anomaly_map: npt.NDArray[np.float32],
    *,
    operating_point: float | None,
    pixel_aspect: float,
    caption: Caption,
    marks: Sequence[Mark] = (),
) -> RGB:
    """Blend a map over its image, with the scale at the right and the texts around.

    Args:
        rgb: (rows, columns, 3) float32 in [0, 1], the image as it is displayed.
        anomaly_map: (rows, columns) float32 in [0, 1], on the image's pixels.
        operating_point: nothing below it is coloured; without one, colour begins at 0.
        pixel_aspect: height of a pixel over its width.
        caption: see `Caption`.
        marks: boxes that are drawn around findings.

    Returns:
        (height, width, 3) uint8, as high as wide within the image's own shape, plus the margins.
    """
    rows, columns = anomaly_map.shape
    box = image_box(rows, columns, lines=len(caption.lines), pixel_aspect=pixel_aspect)
    size = (box[2] - box[0], box[3] - box[1])
    grey = np.stack([_resized(rgb[..., channel], size) for channel in range(3)], axis=-1)
    colour, opacity = _colours(_resized(anomaly_map, size), operating_point)
    fused = grey * (1 - opacity[..., np.newaxis]) + colour * opacity[..., np.newaxis]
    canvas = Image.new("RGB", (box[2] + _MARGIN + _LEGEND, box[3] + _FOOT))
    canvas.paste(
        Image.fromarray(np.rint(np.clip(fused, 0, 1) * 255).astype(np.uint8)), (box[0], box[1])
    )
    draw = ImageDraw.Draw(canvas)
    for mark in marks:
        _draw_mark(draw, box, mark, shape=(rows, columns))
    _write(draw, box, caption)
    _draw_scale(canvas, draw, box, operating_point)
    return np.asarray(canvas)


def _resized(plane: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), dtype=np.float32)


def _colours(
    values: npt.NDArray[np.float32], operating_point: float | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return colour (…, 3) and opacity of map values, both in [0, 1]."""
    floor = operating_point or 0.0
    levels = bands(floor)
    stops = [level.threshold for level in levels]
    colour = np.stack(
        [np.interp(values, stops, [level.colour[c] / 255 for level in levels]) for c in range(3)],
        axis=-1,
    ).astype(np.float32)
    share = np.clip((values - floor) / max(1.0 - floor, 1e-6), 0, 1)
    weakest = _WEAKEST if operating_point is not None else 0.0
    opacity = np.where(values > floor, weakest + (_STRONGEST - weakest) * share, 0.0)
    return colour, opacity.astype(np.float32)


def _write(draw: ImageDraw.ImageDraw, box: tuple[int, ...], caption: Caption) -> None:
    draw.text((_MARGIN, 6), WARNING, fill=(255, 221, 0), font=_font(_FONT))
    for number, line in enumerate(caption.lines):
        draw.text((_MARGIN, _HEAD + number * _LINE), line, fill=_WHITE, font=_font(_FONT))
    draw.text(
        (_MARGIN, box[3] + 10),
        f"{WARNING}. The anomaly score is no probability.",
        fill=_GREY,
        font=_font(_SMALL_FONT),
    )
    if caption.orientation is None:
        return
    right, bottom = caption.orientation
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    for place, anchor, letters in (
        ((box[2] - 6, middle[1]), "rm", right),
        ((box[0] + 6, middle[1]), "lm", opposite(right)),
        ((middle[0], box[3] - 6), "md", bottom),
        ((middle[0], box[1] + 6), "ma", opposite(bottom)),
    ):
        draw.text(
            place, letters, fill=_WHITE, font=_font(_FONT), anchor=anchor, stroke_width=2,
            stroke_fill=(0, 0, 0),
        )  # fmt: skip


def _draw_mark(
    draw: ImageDraw.ImageDraw, box: tuple[int, ...], mark: Mark, *, shape: tuple[int, int]
) -> None:
    """Draw the box of a finding, a few pixels outside of it so that it hides nothing."""
    down, across = (box[3] - box[1]) / shape[0], (box[2] - box[0]) / shape[1]
    top, left, bottom, right = mark.box
    corners = (
        max(box[0], box[0] + (left - 1) * across - _DISTANCE),
        max(box[1], box[1] + (top - 1) * down - _DISTANCE),
        min(box[2] - 1, box[0] + right * across + _DISTANCE),
        min(box[3] - 1, box[1] + bottom * down + _DISTANCE),
    )
    draw.rectangle(corners, outline=_WHITE)
    draw.text(
        (corners[0] + 3, corners[1] + 1), mark.text, fill=_WHITE, font=_font(_SMALL_FONT),
        stroke_width=2, stroke_fill=(0, 0, 0),
    )  # fmt: skip


def _draw_scale(
    canvas: Image.Image,
    draw: ImageDraw.ImageDraw,
    box: tuple[int, ...],
    operating_point: float | None,
) -> None:
    """Draw the legend: map values from 0 to 1 in their colours over mid grey."""
    left, top, bottom = box[2] + 20, box[1] + 30, max(box[3] - 20, box[1] + 60)
    height = bottom - top
    values = np.linspace(1, 0, height, dtype=np.float32)
    colour, opacity = _colours(values, operating_point)
    bar = 0.5 * (1 - opacity[:, np.newaxis]) + colour * opacity[:, np.newaxis]
    stripe = np.repeat(np.rint(bar * 255).astype(np.uint8)[:, np.newaxis], 24, axis=1)
    canvas.paste(Image.fromarray(stripe), (left, top))
    draw.text((left, top - 22), "anomaly score", fill=_WHITE, font=_font(_SMALL_FONT))
    marks = {0.0: "0", 1.0: "1"}
    if operating_point is not None:
        for band in bands(operating_point):
            marks[band.threshold] = f"{band.threshold:.3g}"
        marks[operating_point] += " operating point"
    for value, text in marks.items():
        row = top + round((1 - value) * (height - 1))
        draw.line([(left + 24, row), (left + 30, row)], fill=_WHITE)
        draw.text((left + 34, row), text, fill=_WHITE, font=_font(_SMALL_FONT), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def opposite(letters: str) -> str:
    """Return the opposite of a direction (PS3.3 C.7.6.1.1.1), letter by letter."""
    return "".join(_OPPOSITES.get(letter, "") for letter in letters.upper())
