"""Unlabelled pictures in memory, eight bits a value, none of them excluded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ai_core.errors import PictureError, PretrainingError
from ai_core.evaluation.data import is_mask
from ai_core.images import IMAGE_SIZE, PICTURE_SUFFIXES, Placement, read_picture
from ai_core.pretraining.exclusion import Exclusion, read_pool, sha256_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCount:
    """Counts of one source's pictures: used, excluded, repeated and unreadable.

    Attributes:
        source: the folder or file as it was given.
        turns: how often each of its pictures comes in a round.
        seen: pictures found there, masks not counted.
        excluded: left out because a list says so, by content.
        repeated: left out as copies of pictures already taken.
        unreadable: left out because they are damaged or no single picture.
    """

    source: str
    turns: int
    seen: int
    excluded: int
    repeated: int
    unreadable: int

    @property
    def used(self) -> int:
        """Pictures that are trained on."""
        return self.seen - self.excluded - self.repeated - self.unreadable


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures to train on.

    Attributes:
        values: uint8, each of shape (1, 224, 224) where it is grey, otherwise (3, 224, 224).
        digests: SHA-256 of each picture's file.
        turns: how often each comes in a round.
        counts: what became of each source's pictures.
    """

    values: tuple[Tensor, ...]
    digests: tuple[str, ...]
    turns: tuple[int, ...]
    counts: tuple[SourceCount, ...]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def sha256(self) -> str:
        """Digest over the pictures' digests, in their order, and their turns."""
        lines = [f"{one} {n}" for one, n in zip(self.digests, self.turns, strict=True)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def round(self) -> Tensor:
        """Indices of the pictures of one round, each as often as it has turns, int64."""
        return torch.repeat_interleave(torch.arange(len(self)), torch.tensor(self.turns))

    def batch(self, indices: Tensor) -> Tensor:
        """Return some pictures as float32 RGB in [0, 1], shape (N, 3, 224, 224)."""
        chosen = [self.values[index].expand(3, -1, -1) for index in indices.tolist()]
        return torch.stack(chosen).float() / 255


def gather_pictures(
    sources: Sequence[Path],
    *,
    exclusion: Exclusion,
    root: Path | None = None,
    turns: Sequence[int] | None = None,
) -> Pictures:
    """Read every picture below folders, or of split files' pools, less what is excluded.

    Pictures are placed in the square with their aspect kept, as the detector's are. Their order
    is that of their digests, so that names and places of files change nothing.

    Args:
        sources: folders, or split files (JSON) whose pool is meant.
        exclusion: pictures that must not be seen.
        root: the folder that a split file's paths start from; by default its own.
        turns: how often the pictures of each source come in a round, so that a small source is
            not drowned by a large one; once by default. Copies count for the first source.

    Raises:
        PretrainingError: a source is missing or has no turn, or no picture is left.
    """
    turn_of = dict(zip(sources, turns or [1] * len(sources), strict=True))
    if min(turn_of.values(), default=1) < 1:
        raise PretrainingError("every source of pictures needs at least one turn in a round")
    taken: dict[str, _Taken] = {}
    counts = tuple(
        _gather(source, taken, exclusion=exclusion, root=root, turns=count)
        for source, count in turn_of.items()
    )
    if not taken:
        raise PretrainingError(
            f"no picture is left to train on: {sum(c.seen for c in counts)} seen, "
            f"{sum(c.excluded for c in counts)} excluded, "
            f"{sum(c.unreadable for c in counts)} unreadable"
        )
    digests = tuple(sorted(taken))
    return Pictures(
        values=tuple(taken[d].values for d in digests),
        digests=digests,
        turns=tuple(taken[d].turns for d in digests),
        counts=counts,
    )


def check_exclusion(pictures: Pictures, exclusion: Exclusion) -> None:
    """Check, right before training, that none of the pictures is excluded.

    Raises:
        PretrainingError: one is.
    """
    forbidden = exclusion.digests.intersection(pictures.digests)
    if forbidden:
        raise PretrainingError(
            f"{len(forbidden)} excluded pictures are among those to train on, such as the one "
            f"with SHA-256 {min(forbidden)}; the run does not start"
        )


@dataclass(frozen=True, slots=True)
class _Taken:
    values: Tensor
    turns: int


def _gather(
    source: Path,
    taken: dict[str, _Taken],
    *,
    exclusion: Exclusion,
    root: Path | None,
    turns: int,
) -> SourceCount:
    files = _files(source, root=root)
    excluded = repeated = unreadable = 0
    for file in files:
        digest = sha256_of(file)
        if digest in exclusion.digests:
            excluded += 1
        elif digest in taken:
            repeated += 1
        else:
            try:
                taken[digest] = _Taken(read_square(file), turns)
            except PictureError:
                unreadable += 1
    return SourceCount(
        source=str(source),
        turns=turns,
        seen=len(files),
        excluded=excluded,
        repeated=repeated,
        unreadable=unreadable,
    )


def _files(source: Path, *, root: Path | None) -> list[Path]:
    if source.suffix == ".json":
        return sorted(read_pool(source, root=root))
    if not source.is_dir():
        raise PretrainingError(f"there is no folder {source}")
    return sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and path.is_file()
        and not path.name.startswith(".")
        and not is_mask(path)
    )


def read_square(file: Path) -> Tensor:
    """Read a picture file into the square, uint8, (1, 224, 224) if it is grey, else (3, 224, 224).

    Raises:
        PictureError: the file is damaged or no single picture.
    """
    rgb = read_picture(file)
    rows, columns, _ = rgb.shape
    square = Placement(rows=rows, columns=columns, size=IMAGE_SIZE).to_input(rgb)
    values = torch.from_numpy(np.rint(square * 255).clip(0, 255).astype(np.uint8))
    grey = torch.equal(values[0], values[1]) and torch.equal(values[0], values[2])
    # a copy, or the other two channels would stay in memory with the view
    return values[:1].clone() if grey else values
