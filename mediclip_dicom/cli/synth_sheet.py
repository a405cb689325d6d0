"""The picture that `mediclip-dicom synth` writes: a row per synthetic anomaly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

TILE = 224
GAP = 10
LABEL_WIDTH = 150
TOP = 96
BOTTOM = 44
BACKGROUND = (16, 18, 22)
TEXT = (232, 232, 236)
MUTED = (150, 152, 160)
OUTLINE = (60, 200, 255)
COLUMNS = ("normal", "synthetic", "label, outlined", "difference")
ABOUT = {
    "cutpaste": "a piece of\nanother image",
    "intensity": "smooth change\nof brightness",
    "source": "swelling from\na centre",
}

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One example.

    Attributes:
        title: The task's name.
        normal: (rows, columns, 3) float32 in [0, 1].
        synthetic: The same with an anomaly.
        label: (rows, columns) bool, true where anomalous.
    """

    title: str
    normal: FloatArray
    synthetic: FloatArray
    label: BoolArray


def draw_sheet(rows: Sequence[SheetRow], path: Path, *, caption: str) -> None:
    """Write the picture as PNG.

    Raises:
        OSError: The file can't be written.
    """
    width = LABEL_WIDTH + len(COLUMNS) * (TILE + GAP) + GAP
    picture = Image.new("RGB", (width, TOP + len(rows) * (TILE + GAP) + BOTTOM), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 14), "What the detector learns from", fill=TEXT, font=_font(26))
    draw.text((GAP, 48), caption, fill=MUTED, font=_font(15))
    for column, title in enumerate(COLUMNS):
        draw.text((_left(column), TOP - 22), title, fill=MUTED, font=_font(15))
    for number, row in enumerate(rows):
        top = TOP + number * (TILE + GAP)
        _draw_caption(draw, row, top)
        tiles = (
            row.normal,
            row.synthetic,
            outlined(row.synthetic, row.label),
            difference(row.normal, row.synthetic),
        )
        for column, tile in enumerate(tiles):
            picture.paste(_tile(tile), (_left(column), top))
    draw.text(
        (GAP, picture.height - BOTTOM + 14),
        "difference: red brighter, blue darker than the normal image, on its faint copy",
        fill=MUTED,
        font=_font(14),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")


def outlined(image: FloatArray, label: BoolArray) -> FloatArray:
    """The image with a line around what is labelled, drawn outside it."""
    line = np.zeros_like(label)
    line[1:] |= label[:-1]
    line[:-1] |= label[1:]
    line[:, 1:] |= label[:, :-1]
    line[:, :-1] |= label[:, 1:]
    marked = image.copy()
    marked[line & ~label] = np.asarray(OUTLINE, dtype=np.float32) / 255
    return marked


def difference(normal: FloatArray, synthetic: FloatArray) -> FloatArray:
    """Where and which way the image changed: red brighter, blue darker."""
    change = (synthetic - normal).mean(-1)
    faint = np.repeat(normal.mean(-1, keepdims=True) * 0.3, 3, axis=-1)
    faint[..., 0] += 2 * np.clip(change, 0, None)
    faint[..., 2] += 2 * np.clip(-change, 0, None)
    clipped: FloatArray = np.clip(faint, 0, 1).astype(np.float32)
    return clipped


def _draw_caption(draw: ImageDraw.ImageDraw, row: SheetRow, top: int) -> None:
    draw.text((GAP, top + 6), row.title, fill=TEXT, font=_font(22))
    draw.multiline_text((GAP, top + 38), ABOUT.get(row.title, ""), fill=MUTED, font=_font(15))
    share = f"{row.label.mean():.1%} labelled" if row.label.any() else "nothing visible:\nnormal"
    draw.multiline_text((GAP, top + 84), share, fill=TEXT, font=_font(15))


def _tile(tile: FloatArray) -> Image.Image:
    pixels = np.rint(np.clip(tile, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.NEAREST)


def _left(column: int) -> int:
    return LABEL_WIDTH + GAP + column * (TILE + GAP)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
