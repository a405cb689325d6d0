"""Data sets from files that name their pictures: CSV tables and JSON split files."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

from ai_core.errors import EvaluationError
from ai_core.evaluation.data.datasets import FIXED_SUPPORT_K, Dataset, Item, picture_digest
from ai_core.evaluation.data.folders import SPLIT_SEED, masks_among

_LABELS = {"normal": False, "0": False, "abnormal": True, "1": True}
_SUBSETS = ("pool", "dev", "test")


def from_csv(file: Path, *, name: str | None = None) -> Dataset:
    """Read a data set from a table with a header line.

    Columns: ``path`` (from the table's folder, or absolute) and ``label`` (normal or abnormal, 0
    or 1); optional ``mask`` (paths, several parted by ``;``), ``group`` (patient or study, never
    parted) and ``subset`` (pool, dev or test). Without ``subset`` half of the normal groups, by a
    fixed seed, are the training pool and everything else is tested.

    Raises:
        EvaluationError: no such file, a missing column or picture, or a value that means nothing.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as handle:
            rows = list(csv.DictReader(handle))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{file} can't be read as a CSV table: {error}") from error
    if not rows:
        raise EvaluationError(f"{file} holds no rows below its header")
    if missing := {"path", "label"} - set(rows[0]):
        raise EvaluationError(f"{file} has no column {' and no column '.join(sorted(missing))}")
    items = [_csv_item(row, file=file, line=number) for number, row in enumerate(rows, start=2)]
    title = name or file.stem
    if "subset" in rows[0]:
        parts: dict[str, list[Item]] = {subset: [] for subset in _SUBSETS}
        for number, (row, item) in enumerate(zip(rows, items, strict=True), start=2):
            subset = (row["subset"] or "").strip().lower()
            if subset not in parts:
                raise EvaluationError(
                    f"{file}, line {number}: subset {subset!r} is none of {', '.join(_SUBSETS)}"
                )
            parts[subset].append(item)
        pool, dev, test = (tuple(parts[subset]) for subset in _SUBSETS)
        made = "parts as given in the table"
    else:
        pool, test = _part_groups(items)
        dev = ()
        made = f"normals parted by seed {SPLIT_SEED}, groups kept together"
    dataset = Dataset(name=title, pool=pool, test=test, dev=dev, made=made)
    return _checked(dataset, file)


def from_split(file: Path, *, root: Path, name: str | None = None) -> Dataset:
    """Read a data set from a JSON split file.

    It holds lists of paths below ``root``: ``pool_normal``, ``test_normal``, ``test_abnormal``,
    and optionally ``dev_normal``, ``dev_abnormal`` and ``support_k16_seeds`` (an object: seed to
    list). Masks are next to the pictures, as in `from_folder`.

    Raises:
        EvaluationError: no such file, not of this form, or a picture that is not there.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        lists = {
            key: tuple(str(path) for path in values.get(key, ()))
            for key in ("pool_normal", "dev_normal", "dev_abnormal", "test_normal", "test_abnormal")
        }
        supports = {int(k): tuple(v) for k, v in values.get("support_k16_seeds", {}).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{file} can't be read as a split file: {error}") from error

    siblings: dict[Path, tuple[Path, ...]] = {}

    def items(key: str) -> tuple[Item, ...]:
        abnormal = key.endswith("_abnormal")
        found = []
        for path in (root / name for name in lists[key]):
            if not path.is_file():
                raise EvaluationError(f"{file} names {path}, which is not there; is --root right?")
            if path.parent not in siblings:
                siblings[path.parent] = tuple(sorted(path.parent.iterdir()))
            masks = masks_among(path, siblings[path.parent]) if abnormal else ()
            found.append(Item(path=path, abnormal=abnormal, masks=masks))
        return tuple(found)

    pool = items("pool_normal")
    by_path = {item.path: item for item in pool}
    fixed = {}
    for seed, paths in supports.items():
        if len(paths) != FIXED_SUPPORT_K or not {root / path for path in paths} <= set(by_path):
            raise EvaluationError(
                f"{file}: the support set of seed {seed} must name {FIXED_SUPPORT_K} pictures of "
                "pool_normal"
            )
        fixed[seed] = tuple(by_path[root / path] for path in paths)
    dataset = Dataset(
        name=name or file.stem,
        pool=pool,
        test=(*items("test_normal"), *items("test_abnormal")),
        dev=(*items("dev_normal"), *items("dev_abnormal")),
        fixed_supports=fixed,
        made=f"parts as given in {file.name}",
    )
    return _checked(dataset, file)


def _csv_item(row: dict[str, Any], *, file: Path, line: int) -> Item:
    label = (row["label"] or "").strip().lower()
    if label not in _LABELS:
        raise EvaluationError(
            f"{file}, line {line}: label {label!r} is neither normal nor abnormal"
        )
    path = file.parent / (row["path"] or "").strip()
    masks = tuple(
        file.parent / part.strip() for part in (row.get("mask") or "").split(";") if part.strip()
    )
    for needed in (path, *masks):
        if not needed.is_file():
            raise EvaluationError(f"{file}, line {line}: there is no file {needed}")
    if masks and not _LABELS[label]:
        raise EvaluationError(f"{file}, line {line}: a normal picture has a mask")
    return Item(
        path=path, abnormal=_LABELS[label], masks=masks, group=(row.get("group") or "").strip()
    )


def _part_groups(items: list[Item]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Split into half of the groups without any abnormal picture, and the rest.

    Groups that share a picture, under whatever names, are one.
    """
    unit_of = _joined(items)
    abnormal = {unit_of[item.unit] for item in items if item.abnormal}
    normal = sorted(set(unit_of.values()) - abnormal)
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.randperm(len(normal), generator=generator)[: len(normal) // 2]
    chosen = {normal[index] for index in order.tolist()}
    pool = tuple(item for item in items if unit_of[item.unit] in chosen)
    return pool, tuple(item for item in items if unit_of[item.unit] not in chosen)


def _joined(items: list[Item]) -> dict[str, str]:
    """Map each unit to the first of those that it shares pictures with, directly or by others."""
    parent = {item.unit: item.unit for item in items}

    def root(unit: str) -> str:
        while parent[unit] != unit:
            unit = parent[unit]
        return unit

    first: dict[str, str] = {}
    for item in items:
        earlier = root(first.setdefault(picture_digest(item.path), item.unit))
        parent[max(earlier, root(item.unit))] = min(earlier, root(item.unit))
    return {unit: root(unit) for unit in parent}


def _checked(dataset: Dataset, file: Path) -> Dataset:
    if any(item.abnormal for item in dataset.pool):
        raise EvaluationError(f"{file}: the training pool holds abnormal pictures")
    tested = {item.unit for item in (*dataset.test, *dataset.dev)}
    if shared := [item for item in dataset.pool if item.unit in tested]:
        raise EvaluationError(
            f"{file}: {len(shared)} pictures of the training pool are tested as well, or belong to "
            f"a group that is; the first is {shared[0].path}"
        )
    by_digest = {picture_digest(item.path): item for item in (*dataset.test, *dataset.dev)}
    copies = [
        (item, by_digest[digest])
        for item in dataset.pool
        if (digest := picture_digest(item.path)) in by_digest
    ]
    if copies:
        ours, tested_one = copies[0]
        raise EvaluationError(
            f"{file}: {len(copies)} pictures of the training pool are copies of tested ones, under "
            f"other names; the first is {ours.path}, a copy of {tested_one.path}. Take them out of "
            "the pool"
        )
    return dataset
