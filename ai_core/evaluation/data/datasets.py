"""Data sets: labelled pictures in a training pool, a dev part and a test part."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from ai_core.errors import EvaluationError, PictureError
from ai_core.images import read_picture

Subset = Literal["test", "dev"]
"""The part that figures are made on: "test" for reporting, "dev" for choosing."""

FIXED_SUPPORT_K = 16
"""The k for which a split file may name the support sets."""


@dataclass(frozen=True, slots=True)
class Item:
    """A labelled picture.

    Attributes:
        path: the picture file.
        abnormal: what is true of it.
        masks: files whose union marks the lesion; none where it was not drawn.
        group: the patient or study that it belongs to; images of a group never part.
    """

    path: Path
    abnormal: bool
    masks: tuple[Path, ...] = ()
    group: str = ""

    @property
    def unit(self) -> str:
        """Exchangeable unit: the group, or the picture itself where there is none."""
        return self.group or str(self.path)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled pictures, split so that no support image is ever tested.

    Attributes:
        name: what it is called in tables.
        pool: normal pictures that support sets are drawn from.
        test: pictures for reporting.
        dev: pictures for choosing methods and settings; may be empty.
        fixed_supports: support sets of k = 16 by seed, where a split file names them.
        made: how the parts came about, for the record.
    """

    name: str
    pool: tuple[Item, ...]
    test: tuple[Item, ...]
    dev: tuple[Item, ...] = ()
    fixed_supports: Mapping[int, tuple[Item, ...]] = field(default_factory=dict)
    made: str = ""

    def subset(self, name: Subset) -> tuple[Item, ...]:
        """Return the pictures that figures are made on.

        Raises:
            EvaluationError: there are none, or only normal or only abnormal ones.
        """
        items = self.test if name == "test" else self.dev
        if not items:
            raise EvaluationError(
                f"data set {self.name!r} has no {name} pictures"
                + ("; only split and CSV files name dev pictures" if name == "dev" else "")
            )
        abnormal = sum(item.abnormal for item in items)
        if abnormal in (0, len(items)):
            missing = "abnormal" if abnormal == 0 else "normal"
            raise EvaluationError(
                f"data set {self.name!r} has no {missing} {name} pictures; both are needed to "
                "measure anything"
            )
        return items

    def support(self, k: int, seed: int) -> tuple[Item, ...]:
        """Return k normal pictures of the pool: the split's own list if it has one, else drawn.

        Args:
            k: pictures, at least 2.
            seed: of a torch generator that orders the pool; smaller k are then parts of larger.

        Raises:
            EvaluationError: k is larger than the pool.
        """
        if k == FIXED_SUPPORT_K and seed in self.fixed_supports:
            return self.fixed_supports[seed]
        if k > len(self.pool):
            raise EvaluationError(
                f"k = {k}, but data set {self.name!r} has only {len(self.pool)} normal pictures in "
                "its training pool; ask for a smaller k or give it more normal pictures"
            )
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.pool), generator=generator)[:k]
        return tuple(self.pool[index] for index in order.tolist())


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal.

    Raises:
        EvaluationError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise EvaluationError(f"{path} can't be read: {error.strerror or error}") from error


def picture_digest(path: Path) -> str:
    """Compute a SHA-256 over size and decoded pixels; over the file's bytes if it can't be read.

    The same picture saved in another format, or with other metadata, has the same digest.

    Raises:
        EvaluationError: there is no such file.
    """
    try:
        pixels = read_picture(path)
    except PictureError:
        return file_digest(path)
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def digest_of(items: Iterable[Item]) -> str:
    """Compute a SHA-256 over labels, groups and bytes of pictures and masks, in order, not paths.

    Raises:
        EvaluationError: a file can't be read.
    """
    digest = hashlib.sha256()
    for item in items:
        files = " ".join(file_digest(path) for path in (item.path, *item.masks))
        digest.update(f"{int(item.abnormal)} {item.group} {files}\n".encode())
    return digest.hexdigest()


def units_of(items: Iterable[Item]) -> tuple[int, ...]:
    """Return each picture's group index, counted in the order of first appearance."""
    seen: dict[str, int] = {}
    return tuple(seen.setdefault(item.unit, len(seen)) for item in items)
