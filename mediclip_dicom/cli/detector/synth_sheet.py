"""The picture that `mediclip-dicom synth` writes: a row per synthetic anomaly."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ai_core.images import BACKGROUND, MARK, MUTED, TEXT, Bools, Floats, font, to_picture

TILE = 224
GAP = 10
LABEL_WIDTH = 150
TOP = 96
BOTTOM = 44
COLUMNS = ("normal", "synthetic", "label, outlined", "difference")
ABOUT = {
    "cutpaste": "a piece of\nanother image",
    "intensity": "smooth change\nof brightness",
    "source": "swelling from\na centre",
}


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
    normal: Floats
    synthetic: Floats
    label: Bools


def draw_sheet(rows: Sequence[SheetRow], path: Path, *, caption: str) -> None:
    """Write the picture as PNG.

    Raises:
        OSError: The file can't be written.
    """
    width = LABEL_WIDTH + len(COLUMNS) * (TILE + GAP) + GAP
    picture = Image.new("RGB", (width, TOP + len(rows) * (TILE + GAP) + BOTTOM), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 14), "What the detector learns from", fill=TEXT, font=font(26))
    draw.text((GAP, 48), caption, fill=MUTED, font=font(15))
    for column, title in enumerate(COLUMNS):
        draw.text((_left(column), TOP - 22), title, fill=MUTED, font=font(15))
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
            fitted = to_picture(tile).resize((TILE, TILE), Image.Resampling.NEAREST)
            picture.paste(fitted, (_left(column), top))
    draw.text(
        (GAP, picture.height - BOTTOM + 14),
        "difference: red brighter, blue darker than the normal image, on its faint copy",
        fill=MUTED,
        font=font(14),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, format="PNG")


def outlined(image: Floats, label: Bools) -> Floats:
    """The image with a line around what is labelled, drawn outside it."""
    line = np.zeros_like(label)
    line[1:] |= label[:-1]
    line[:-1] |= label[1:]
    line[:, 1:] |= label[:, :-1]
    line[:, :-1] |= label[:, 1:]
    marked = image.copy()
    marked[line & ~label] = np.asarray(MARK, dtype=np.float32) / 255
    return marked


def difference(normal: Floats, synthetic: Floats) -> Floats:
    """Where and which way the image changed: red brighter, blue darker."""
    change = (synthetic - normal).mean(-1)
    faint = np.repeat(normal.mean(-1, keepdims=True) * 0.3, 3, axis=-1)
    faint[..., 0] += 2 * np.clip(change, 0, None)
    faint[..., 2] += 2 * np.clip(-change, 0, None)
    clipped: Floats = np.clip(faint, 0, 1).astype(np.float32)
    return clipped


def _draw_caption(draw: ImageDraw.ImageDraw, row: SheetRow, top: int) -> None:
    draw.text((GAP, top + 6), row.title, fill=TEXT, font=font(22))
    draw.multiline_text((GAP, top + 38), ABOUT.get(row.title, ""), fill=MUTED, font=font(15))
    share = f"{row.label.mean():.1%} labelled" if row.label.any() else "nothing visible:\nnormal"
    draw.multiline_text((GAP, top + 84), share, fill=TEXT, font=font(15))


def _left(column: int) -> int:
    return LABEL_WIDTH + GAP + column * (TILE + GAP)
