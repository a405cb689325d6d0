"""Example sheet: pictures with maps and truths, chosen by position and never by score."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.colors import PowerNorm

from ai_core.errors import EvaluationError
from ai_core.evaluation.data import Dataset, Item, Subset, read_item, read_truth
from ai_core.files import write_bytes
from ai_core.images import (
    MARK,
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

SHEET_FILE = "sheet.png"
ABNORMAL_EXAMPLES = 4
NORMAL_EXAMPLES = 2

_FOLDER = "examples"
_LAYOUT = Layout(tile=200, label_width=128, gap=8)
_LABELS = {True: (255, 140, 120), False: (120, 210, 140)}

_RANK_NORM = PowerNorm(gamma=6, vmin=0, vmax=1)
"""Half of the colours go to the highest eleventh of the pixels."""

_RANK_TICKS = {0.0: "0 %", 0.8: "80 %", 0.9: "90 %", 0.95: "95 %", 1.0: "100 %"}


def choose_examples(items: Sequence[Item]) -> frozenset[int]:
    """Return indices of the pictures to show, evenly over each class in the order of the list."""
    chosen: set[int] = set()
    for abnormal, count in ((True, ABNORMAL_EXAMPLES), (False, NORMAL_EXAMPLES)):
        indices = [n for n, item in enumerate(items) if item.abnormal is abnormal]
        count = min(count, len(indices))
        chosen |= {indices[int((n + 0.5) * len(indices) / count)] for n in range(count)}
    return frozenset(chosen)


def save_examples(folder: Path, name: str, maps: Mapping[int, Floats]) -> None:
    """Save a data set's example maps in the run's folder, for a sheet that is drawn later.

    Args:
        folder: of the run.
        name: of the data set.
        maps: by index of the picture, in the frame.
    """
    target = folder / _FOLDER / f"{_file_name(name)}.npz"
    target.parent.mkdir(exist_ok=True)
    content = io.BytesIO()
    np.savez_compressed(
        content, indices=np.array(sorted(maps)), maps=[maps[n] for n in sorted(maps)]
    )
    write_bytes(target, content.getvalue())


def draw_sheet(
    folder: Path, datasets: Sequence[Dataset], *, subset: Subset, caption: str
) -> Path | None:
    """Draw image, map and truth of every data set's examples; None where none were kept.

    A map's colour is its value's rank among all pixels of the data set's examples, so that rows can
    be compared whatever a method's scale.

    Args:
        folder: of the run.
        datasets: in the order of the sheet.
        subset: the part that was tested.
        caption: what the maps were made by.
    """
    panels = [
        _panel(dataset.name, examples)
        for dataset in datasets
        if (examples := _load(folder, dataset, subset))
    ]
    if not panels:
        return None
    path = folder / SHEET_FILE
    save_sheet(
        path,
        panels,
        title="Image, anomaly map and truth",
        caption=caption,
        layout=_LAYOUT,
        notes=Notes(
            lines=("pictures chosen by their position in the list, not by their score",),
            legend=(("lesion, as drawn", MARK),),
            colour_bar=ColourBar("rank among these maps' pixels", _RANK_NORM, _RANK_TICKS),
        ),
    )
    return path


@dataclass(frozen=True, slots=True)
class _Example:
    item: Item
    image: Floats
    map: Floats
    truth: npt.NDArray[np.bool_] | None
    rows: int
    columns: int


def _load(folder: Path, dataset: Dataset, subset: Subset) -> list[_Example]:
    file = folder / _FOLDER / f"{_file_name(dataset.name)}.npz"
    if not file.exists():
        return []
    try:
        with np.load(file) as content:
            kept = list(zip(content["indices"].tolist(), content["maps"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"{file} can't be read ({error}); delete it") from error
    items = dataset.subset(subset)
    examples = []
    for index, one in sorted(kept, key=lambda pair: (not items[pair[0]].abnormal, pair[0])):
        picture = read_item(items[index], geometry="stretch")
        rows, columns = picture.placement.rows, picture.placement.columns
        truth = read_truth(items[index], rows=rows, columns=columns)
        examples.append(
            _Example(
                item=items[index],
                image=picture.image.permute(1, 2, 0).numpy(),
                map=one,
                truth=None if truth is None else truth.numpy(),
                rows=rows,
                columns=columns,
            )
        )
    return examples


def _panel(name: str, examples: Sequence[_Example]) -> Panel:
    ranked = np.sort(np.concatenate([example.map.ravel() for example in examples]))
    rows = []
    for example in examples:
        label = "abnormal" if example.item.abnormal else "normal"
        lines = [
            Line(label, _LABELS[example.item.abnormal], 16),
            Line(f"highest {example.map.max():.3f}"),
        ]
        if example.truth is None:
            lines.append(Line("lesion not drawn"))
        tiles = [
            tile(image, _LAYOUT.tile, rows=example.rows, columns=example.columns)
            for image in _images(example, ranked)
        ]
        rows.append(PanelRow(lines, tiles))
    return Panel(("image", "anomaly map", "truth"), rows, title=name)


def _images(example: _Example, ranked: Floats) -> tuple[Floats, ...]:
    ranks = (np.searchsorted(ranked, example.map) / len(ranked)).astype(np.float32)
    grey = example.image.mean(axis=-1, keepdims=True)
    share = 0.25 + 0.5 * np.asarray(_RANK_NORM(ranks))[..., None]
    blended = (1 - share) * grey + share * heat_colours(ranks, _RANK_NORM)
    truth = example.image if example.truth is None else tint(example.image, example.truth, MARK)
    return example.image, blended.astype(np.float32), truth


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
