"""Sheet of synthetic anomalies: a row for each example."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ai_core.images import (
    MARK,
    TEXT,
    Bools,
    Floats,
    Layout,
    Line,
    Notes,
    Panel,
    PanelRow,
    save_sheet,
    tile,
)

LAYOUT = Layout(tile=224)
COLUMNS = ("normal", "synthetic", "label, outlined", "difference")
BRIGHTER, DARKER = (255, 70, 70), (70, 70, 255)
ABOUT = {
    "cutpaste": "a piece of\nanother image",
    "intensity": "smooth change\nof brightness",
    "source": "swelling from\na centre",
}


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Example of a synthetic anomaly.

    Attributes:
        title: the task's name.
        normal: (rows, columns, 3) float32 in [0, 1].
        synthetic: the same with an anomaly.
        label: (rows, columns) bool, true where anomalous.
    """

    title: str
    normal: Floats
    synthetic: Floats
    label: Bools


def draw_sheet(rows: Sequence[SheetRow], path: Path, *, caption: str) -> None:
    """Write the picture as PNG.

    Raises:
        OSError: the file can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_sheet(
        path,
        [Panel(COLUMNS, [_panel_row(row) for row in rows])],
        title="What the detector learns from",
        caption=caption,
        layout=LAYOUT,
        notes=Notes(
            lines=("difference: on a faint copy of the normal image",),
            legend=(("label", MARK), ("brighter", BRIGHTER), ("darker", DARKER)),
        ),
    )


def outlined(image: Floats, label: Bools) -> Floats:
    """Draw a line around the label, outside it."""
    line = np.zeros_like(label)
    line[1:] |= label[:-1]
    line[:-1] |= label[1:]
    line[:, 1:] |= label[:, :-1]
    line[:, :-1] |= label[:, 1:]
    marked = image.copy()
    marked[line & ~label] = np.asarray(MARK, dtype=np.float32) / 255
    return marked


def difference(normal: Floats, synthetic: Floats) -> Floats:
    """Colour the change of the image: red brighter, blue darker."""
    change = (synthetic - normal).mean(-1)
    faint = np.repeat(normal.mean(-1, keepdims=True) * 0.3, 3, axis=-1)
    faint[..., 0] += 2 * np.clip(change, 0, None)
    faint[..., 2] += 2 * np.clip(-change, 0, None)
    clipped: Floats = np.clip(faint, 0, 1).astype(np.float32)
    return clipped


def _panel_row(row: SheetRow) -> PanelRow:
    share = f"{row.label.mean():.1%} labelled" if row.label.any() else "nothing visible:\nnormal"
    images = (
        row.normal,
        row.synthetic,
        outlined(row.synthetic, row.label),
        difference(row.normal, row.synthetic),
    )
    return PanelRow(
        label=(Line(row.title, TEXT, 20), Line(ABOUT.get(row.title, "")), Line(share, TEXT)),
        tiles=[tile(image, LAYOUT.tile) for image in images],
    )
