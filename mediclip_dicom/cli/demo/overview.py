"""One picture of what came back: image, anomaly map, bands and truth, a row per study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ai_core.images import BACKGROUND, MARK, MUTED, TEXT, Bools, Floats, font, tile, tint
from mediclip_dicom.results import bands

TILE = 210
GAP = 10
LABEL_WIDTH = 200
TOP = 96
BOTTOM = 64
VERDICT_COLOURS = {"abnormal": (255, 110, 90), "normal": (110, 210, 130)}
COLUMNS = ("image", "anomaly map", "bands, as in the SEG", "truth")


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """One study, shown by its highest-scored image.

    Attributes:
        name: What to call the study.
        label: What is true of it, "normal" or "abnormal".
        image: (rows, columns, 3) float32 in [0, 1].
        map: (rows, columns) float32 in [0, 1], on the image's grid.
        truth: (rows, columns) bool of the lesion, or None.
        verdict: What the node said.
        score: The study's score, or None.
        operating_point: Threshold of the map, or None where the task is uncalibrated.
    """

    name: str
    label: str
    image: Floats
    map: Floats
    truth: Bools | None
    verdict: str
    score: float | None
    operating_point: float | None


def draw_overview(rows: Sequence[OverviewRow], path: Path, *, caption: str) -> None:
    """Write the picture as PNG; the map's colours span all rows together."""
    width = LABEL_WIDTH + len(COLUMNS) * (TILE + GAP) + GAP
    height = TOP + len(rows) * (TILE + GAP) + BOTTOM
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((GAP, 14), "What the node found", fill=TEXT, font=font(26))
    draw.text((GAP, 48), "Not for diagnostic use", fill=MUTED, font=font(15))
    for index, title in enumerate(COLUMNS):
        draw.text((_left(index), TOP - 24), title, fill=MUTED, font=font(15))
    low = min(float(row.map.min()) for row in rows)
    high = max(float(row.map.max()) for row in rows)
    for number, row in enumerate(rows):
        top = TOP + number * (TILE + GAP)
        _draw_label(draw, row, top)
        for index, image in enumerate(_tiles(row, low=low, high=high)):
            picture.paste(tile(image, TILE), (_left(index), top))
    foot = height - BOTTOM + 12
    draw.text((GAP, foot), caption, fill=TEXT, font=font(15))
    draw.text(
        (GAP, foot + 22),
        f"map colours: {low:.3f} (dark) to {high:.3f} (bright)   "
        "bands: yellow, orange, red from the operating point up   truth: blue",
        fill=MUTED,
        font=font(14),
    )
    picture.save(path)


def _draw_label(draw: ImageDraw.ImageDraw, row: OverviewRow, top: int) -> None:
    draw.text((GAP, top + 8), row.name, fill=TEXT, font=font(24))
    draw.text((GAP, top + 46), f"truth: {row.label}", fill=MUTED, font=font(16))
    draw.text(
        (GAP, top + 72),
        row.verdict,
        fill=VERDICT_COLOURS.get(row.verdict, (240, 200, 90)),
        font=font(20),
    )
    score = "none" if row.score is None else f"{row.score:.4f}"
    point = "none" if row.operating_point is None else f"{row.operating_point:.4f}"
    draw.text((GAP, top + 104), f"score {score}", fill=TEXT, font=font(16))
    draw.text((GAP, top + 126), f"operating point {point}", fill=MUTED, font=font(14))
    if row.verdict != "undetermined":
        right = row.verdict == row.label
        draw.text(
            (GAP, top + 152),
            "right" if right else "wrong",
            fill=VERDICT_COLOURS["normal" if right else "abnormal"],
            font=font(16),
        )


def _tiles(row: OverviewRow, *, low: float, high: float) -> tuple[Floats, ...]:
    strength = np.clip((row.map - low) / max(high - low, 1e-6), 0, 1)[..., None]
    heat = np.concatenate([strength, strength**2 * 0.8, 0.25 * (1 - strength)], axis=-1)
    blended = row.image * (1 - 0.75 * strength) + heat * 0.75 * strength
    marked = row.image.copy()
    if row.operating_point is not None and row.verdict == "abnormal":
        for band in bands(row.operating_point):
            inside = row.map > band.threshold
            marked[inside] = tint(row.image, inside, band.colour, share=0.55)[inside]
    truth = row.image if row.truth is None else tint(row.image, row.truth, MARK, share=0.55)
    return row.image, blended.astype(np.float32), marked, truth


def _left(column: int) -> int:
    return LABEL_WIDTH + GAP + column * (TILE + GAP)
