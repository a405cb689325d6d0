"""Data sets from plain folders: normal/, abnormal/ and, where there are any, masks."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

from ai_core.errors import EvaluationError
from ai_core.evaluation.data.datasets import Dataset, Item, picture_digest
from ai_core.images import PICTURE_SUFFIXES

NORMAL = ("normal",)
ABNORMAL = ("abnormal",)
POOL = "pool"
SPLIT_SEED = 0
"""Seed that splits a folder's normals; the seeds of a run never move test pictures."""

_NOTES = frozenset({".txt", ".md", ".csv", ".json", ".xml", ".pdf", ".html", ".log"})

log = structlog.get_logger()

_MASK = re.compile(r"_mask(_?\d+)?$")


def from_folder(
    folder: Path,
    *,
    name: str | None = None,
    normal: Sequence[str] = NORMAL,
    abnormal: Sequence[str] = ABNORMAL,
    test_normal: int | None = None,
    test_abnormal: int | None = None,
    keep_repeats: bool = False,
) -> Dataset:
    """Read a data set from folders of pictures.

    ``X_mask.png``, ``X_mask_1.png``, … next to ``X.jpg`` mark its lesion; several are a union. The
    normals are parted once, by a fixed seed, into a training pool and the test part; a folder
    ``pool`` next to them, with normals, is taken as the training pool instead. The same picture
    under two names counts once, whatever its format.

    Args:
        folder: holds the sub-folders.
        name: of the data set; the folder's own by default.
        normal: sub-folders with normal pictures.
        abnormal: sub-folders with abnormal pictures.
        test_normal: normals to test on; by default half of them.
        test_abnormal: abnormal pictures to test on, drawn where there are more; by default all.
        keep_repeats: count the same file under two names twice, as published splits do. All of
            its copies are then tested and none is in the pool.

    Raises:
        EvaluationError: a folder is missing or empty, or there are fewer pictures than asked for.
    """
    title = name or folder.resolve().name
    repeats = _Repeats(keep=keep_repeats)
    own_pool = folder / POOL
    pool = _items(own_pool, abnormal=False, repeats=repeats) if own_pool.is_dir() else ()
    normals = _all(folder, normal, abnormal=False, repeats=repeats)
    abnormals = _all(folder, abnormal, abnormal=True, repeats=repeats)
    made = "training pool as given in pool/"
    if not pool:
        count = len(normals) - len(normals) // 2 if test_normal is None else test_normal
        pool, normals = _part(normals, count, folder=folder, repeats=repeats)
        made = f"normals parted by seed {SPLIT_SEED}"
    if test_abnormal is not None:
        abnormals = _draw(abnormals, test_abnormal, folder=folder)
    if repeats.dropped:
        made += f"; {repeats.dropped} files left out as copies of others"
    if repeats.left_out:
        kinds = ", ".join(f"{suffix} ({n})" for suffix, n in sorted(repeats.left_out.items()))
        made += f"; {repeats.left_out.total()} files left out, of kinds that are not read: {kinds}"
    return Dataset(name=title, pool=pool, test=(*normals, *abnormals), made=made)


def is_mask(path: Path) -> bool:
    """Return whether a file has the name of a mask."""
    return bool(_MASK.search(path.stem))


def masks_among(path: Path, files: Sequence[Path]) -> tuple[Path, ...]:
    """Return the masks of a picture among its folder's files: X_mask.png, X_mask_1.png, …."""
    return tuple(
        file
        for file in files
        if file.name.startswith(f"{path.stem}_mask")
        and file.suffix.lower() in PICTURE_SUFFIXES
        and _MASK.sub("", file.stem) == path.stem
    )


class _Repeats:
    """Counts pictures by their decoded pixels, to drop or mark copies."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._counts: dict[str, int] = {}
        self._digests: dict[Path, str] = {}
        self.dropped = 0
        self.left_out: Counter[str] = Counter()

    def admits(self, path: Path) -> bool:
        digest = picture_digest(path)
        self._digests[path] = digest
        self._counts[digest] = self._counts.get(digest, 0) + 1
        repeated = self._counts[digest] > 1 and not self._keep
        self.dropped += repeated
        return not repeated

    def is_repeated(self, path: Path) -> bool:
        return self._counts[self._digests[path]] > 1


def _all(
    folder: Path, names: Sequence[str], *, abnormal: bool, repeats: _Repeats
) -> tuple[Item, ...]:
    return tuple(
        item for name in names for item in _items(folder / name, abnormal=abnormal, repeats=repeats)
    )


def _items(folder: Path, *, abnormal: bool, repeats: _Repeats) -> tuple[Item, ...]:
    if not folder.is_dir():
        raise EvaluationError(f"there is no folder {folder}")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    by_parent: dict[Path, list[Path]] = {}
    for file in files:
        by_parent.setdefault(file.parent, []).append(file)
    left_out = Counter(
        path.suffix.lower() or path.name
        for path in folder.rglob("*")
        if path.is_file() and _is_no_picture(path)
    )
    if left_out:
        repeats.left_out += left_out
        kinds = ", ".join(f"{suffix} ({n})" for suffix, n in sorted(left_out.items()))
        log.warning(
            "pictures.left_out",
            folder=str(folder),
            kinds=kinds,
            reason=f"read are {', '.join(sorted(PICTURE_SUFFIXES))}",
        )
    pictures = [path for path in files if not is_mask(path) and not path.name.startswith(".")]
    if not pictures:
        raise EvaluationError(f"{folder} holds no pictures ({', '.join(sorted(PICTURE_SUFFIXES))})")
    return tuple(
        Item(
            path=path,
            abnormal=abnormal,
            masks=masks_among(path, by_parent[path.parent]) if abnormal else (),
        )
        for path in pictures
        if repeats.admits(path)
    )


def _is_no_picture(path: Path) -> bool:
    """Return whether a file is neither read nor a note or a system's own file."""
    hidden = path.name.startswith(".") or path.name == "Thumbs.db"
    return not hidden and path.suffix.lower() not in PICTURE_SUFFIXES | _NOTES


def _part(
    normals: Sequence[Item], count: int, *, folder: Path, repeats: _Repeats
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Split into pool and test part; repeated pictures, with all copies, are tested."""
    if count >= len(normals):
        raise EvaluationError(
            f"{folder} has {len(normals)} normal pictures, of which {count} are to be tested: "
            "none is left to fit on"
        )
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    shuffled = [normals[n] for n in torch.randperm(len(normals), generator=generator).tolist()]
    order = sorted(shuffled, key=lambda item: not repeats.is_repeated(item.path))
    if any(repeats.is_repeated(item.path) for item in order[count:]):
        raise EvaluationError(f"{folder} holds too many copies of the same pictures")
    return tuple(order[count:]), tuple(order[:count])


def _draw(items: Sequence[Item], count: int, *, folder: Path) -> tuple[Item, ...]:
    if count > len(items):
        raise EvaluationError(
            f"{folder} has {len(items)} abnormal pictures, and {count} are to be tested"
        )
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    chosen = sorted(torch.randperm(len(items), generator=generator)[:count].tolist())
    return tuple(items[index] for index in chosen)
