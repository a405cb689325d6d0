"""A few pictures with their maps and truths on one sheet, picked by position and never by score."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ai_core.errors import EvaluationError
from ai_core.evaluation.data import Dataset, Item, Subset, read_item, read_truth
from ai_core.files import write_bytes
from ai_core.images import BACKGROUND, MARK, MUTED, TEXT, Floats, font, tile, tint

SHEET_FILE = "sheet.png"
ABNORMAL_EXAMPLES = 4
NORMAL_EXAMPLES = 2

_FOLDER = "examples"
_TILE = 200
_GAP = 8
_SIDE = 128
_TOP = 74
_FOOT = 40
_LABELS = {True: (255, 140, 120), False: (120, 210, 140)}
_HEAT = np.array(
    [(0, 0, 40), (60, 20, 130), (190, 40, 100), (250, 130, 40), (255, 240, 130)], dtype=np.float32
)

_RANK_POWER = 6
"""Half of the colours go to the highest eleventh of the pixels."""


def choose_examples(items: Sequence[Item]) -> frozenset[int]:
    """Indices of the pictures to show, evenly over each class in the order of the list."""
    chosen: set[int] = set()
    for abnormal, count in ((True, ABNORMAL_EXAMPLES), (False, NORMAL_EXAMPLES)):
        indices = [n for n, item in enumerate(items) if item.abnormal is abnormal]
        count = min(count, len(indices))
        chosen |= {indices[int((n + 0.5) * len(indices) / count)] for n in range(count)}
    return frozenset(chosen)


def save_examples(folder: Path, name: str, maps: Mapping[int, Floats]) -> None:
    """Keep a data set's example maps beside the rows, for a sheet that is drawn later.

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
    blocks = [
        _draw_block(dataset.name, examples)
        for dataset in datasets
        if (examples := _load(folder, dataset, subset))
    ]
    if not blocks:
        return None
    width = sum(block.width for block in blocks) + _GAP
    height = _TOP + max(block.height for block in blocks) + _FOOT
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((2 * _GAP, 12), "Image, anomaly map and truth", fill=TEXT, font=font(24))
    draw.text((2 * _GAP, 44), caption, fill=MUTED, font=font(14))
    left = 0
    for block in blocks:
        sheet.paste(block, (left, _TOP))
        left += block.width
    draw.text(
        (2 * _GAP, height - _FOOT + 10),
        "picked by position in the list, not by score · map: coloured by rank among these maps, "
        "the highest brightest",
        fill=MUTED,
        font=font(14),
    )
    path = folder / SHEET_FILE
    partial = path.with_suffix(".partial")
    sheet.save(partial, format="PNG")
    partial.replace(path)
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


def _draw_block(name: str, examples: Sequence[_Example]) -> Image.Image:
    ranked = np.sort(np.concatenate([example.map.ravel() for example in examples]))
    head = 48
    width = _SIDE + 3 * (_TILE + _GAP) + 2 * _GAP
    block = Image.new("RGB", (width, head + len(examples) * (_TILE + _GAP)), BACKGROUND)
    draw = ImageDraw.Draw(block)
    draw.text((2 * _GAP, 0), name, fill=TEXT, font=font(20))
    for column, title in enumerate(("image", "map", "truth")):
        draw.text((_SIDE + column * (_TILE + _GAP), 26), title, fill=MUTED, font=font(14))
    for number, example in enumerate(examples):
        top = head + number * (_TILE + _GAP)
        label = "abnormal" if example.item.abnormal else "normal"
        draw.text((2 * _GAP, top + 4), label, fill=_LABELS[example.item.abnormal], font=font(16))
        draw.text(
            (2 * _GAP, top + 28), f"highest {example.map.max():.3f}", fill=MUTED, font=font(13)
        )
        if example.truth is None:
            draw.text((2 * _GAP, top + 48), "lesion not drawn", fill=MUTED, font=font(13))
        for column, image in enumerate(_tiles(example, ranked)):
            fitted = tile(image, _TILE, rows=example.rows, columns=example.columns)
            block.paste(fitted, (_SIDE + column * (_TILE + _GAP), top))
    return block


def _tiles(example: _Example, ranked: Floats) -> tuple[Floats, ...]:
    strength = (np.searchsorted(ranked, example.map) / len(ranked)) ** _RANK_POWER
    steps = np.linspace(0, 1, len(_HEAT))
    heat = np.stack([np.interp(strength, steps, _HEAT[:, c]) for c in range(3)], axis=-1) / 255
    grey = example.image.mean(axis=-1, keepdims=True)
    share = 0.25 + 0.5 * strength[..., None]
    blended = (1 - share) * grey + share * heat
    truth = example.image if example.truth is None else tint(example.image, example.truth, MARK)
    return example.image, blended.astype(np.float32), truth


def _file_name(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
