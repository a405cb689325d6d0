"""Overview of the results: image, anomaly map, bands and truth, a row per study."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import Normalize

from ai_core.images import (
    MARK,
    TEXT,
    Bools,
    ColourBar,
    Floats,
    Layout,
    Line,
    Notes,
    Panel,
    PanelRow,
    heat_colours,
    save_sheet,
    tile,
    tint,
)
from mediclip_dicom.results import bands

LAYOUT = Layout(label_width=230)
VERDICT_COLOURS = {"abnormal": (255, 110, 90), "normal": (110, 210, 130)}
COLUMNS = ("image", "anomaly map", "bands, as in the SEG", "truth")


@dataclass(frozen=True, slots=True)
class OverviewRow:
    """Study, shown by one of its images.

    Attributes:
        name: name of the study.
        label: its truth, "normal" or "abnormal".
        image: (rows, columns, 3) float32 in [0, 1].
        map: (rows, columns) float32 in [0, 1], on the image's grid.
        truth: (rows, columns) bool of the lesion, or None.
        verdict: verdict of the node.
        score: the study's score, or None.
        operating_point: threshold of the map, or None where the task is uncalibrated.
        finding: size and slices of the finding that ranks first, or None.
    """

    name: str
    label: str
    image: Floats
    map: Floats
    truth: Bools | None
    verdict: str
    score: float | None
    operating_point: float | None
    finding: str | None = None


def draw_overview(rows: Sequence[OverviewRow], path: Path, *, caption: str) -> None:
    """Write the picture as PNG; the map's colours span all rows together."""
    low = min(float(row.map.min()) for row in rows)
    high = max(float(row.map.max()) for row in rows)
    norm = Normalize(low, max(high, low + 1e-6))
    save_sheet(
        path,
        [
            Panel(COLUMNS, [_panel_row(row, norm) for row in rows]),
        ],
        title="What the node found",
        caption="Not for diagnostic use",
        layout=LAYOUT,
        notes=Notes(
            lines=(caption,),
            legend=(
                ("truth", MARK),
                *((band.name, band.colour) for band in bands(0.5)),
            ),
            colour_bar=ColourBar("anomaly map", norm, {low: f"{low:.3f}", high: f"{high:.3f}"}),
        ),
    )


def _panel_row(row: OverviewRow, norm: Normalize) -> PanelRow:
    return PanelRow(_label(row), [tile(image, LAYOUT.tile) for image in _images(row, norm)])


def _label(row: OverviewRow) -> tuple[Line, ...]:
    score = "none" if row.score is None else f"{row.score:.4f}"
    point = "none" if row.operating_point is None else f"{row.operating_point:.4f}"
    lines: tuple[Line, ...] = (
        Line(row.name, TEXT, 22),
        Line(f"truth: {row.label}", size=16),
        Line(row.verdict, VERDICT_COLOURS.get(row.verdict, (240, 200, 90)), 19),
        Line(f"score {score}", TEXT, 16),
        Line(f"operating point {point}"),
    )
    if row.finding is not None:
        lines = (*lines, Line(row.finding, TEXT, 16))
    if row.verdict == "undetermined":
        return lines
    right = row.verdict == row.label
    colour = VERDICT_COLOURS["normal" if right else "abnormal"]
    return (*lines, Line("right" if right else "wrong", colour, 16))


def _images(row: OverviewRow, norm: Normalize) -> tuple[Floats, ...]:
    strength = np.asarray(norm(row.map))[..., None]
    blended = row.image * (1 - 0.75 * strength) + heat_colours(row.map, norm) * 0.75 * strength
    marked = row.image.copy()
    if row.operating_point is not None and row.verdict == "abnormal":
        for band in bands(row.operating_point):
            inside = row.map > band.threshold
            marked[inside] = tint(row.image, inside, band.colour, share=0.55)[inside]
    truth = row.image if row.truth is None else tint(row.image, row.truth, MARK, share=0.55)
    return row.image, blended.astype(np.float32), marked, truth
