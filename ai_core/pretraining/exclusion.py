"""Exclusion lists: pictures that a backbone must never have seen, by SHA-256 of their files."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai_core.errors import PretrainingError

HELD_OUT = ("dev_", "test_")
"""Prefixes of the lists in a split file whose pictures no training may see."""

POOL = "pool_normal"
"""A split file's list of normal pictures that training may see."""

_DIGEST = re.compile(r"^([0-9a-fA-F]{64})(\s.*)?$")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Pictures that are left out.

    Attributes:
        digests: SHA-256 of each file's bytes, as hexadecimal text.
        lists: file, SHA-256 and number of entries of each list, for the run record.
    """

    digests: frozenset[str] = frozenset()
    lists: tuple[dict[str, Any], ...] = ()


def read_exclusion(files: Sequence[Path], *, root: Path | None = None) -> Exclusion:
    """Read lists of pictures that must not be seen.

    A list is a split file (JSON, whose ``dev_*`` and ``test_*`` lists count), or text with a path
    or a SHA-256 in each line, as sha256sum writes them; ``#`` starts a remark.

    Args:
        files: the lists.
        root: the folder that relative paths start from; by default the list's own.

    Raises:
        PretrainingError: a list cannot be read or lists nothing, or names a picture that is not
            there: its content is then not known, and it could be seen under another name.
    """
    digests: set[str] = set()
    lists = []
    for file in files:
        entries = _entries(file)
        if not entries:
            raise PretrainingError(f"{file} lists nothing to exclude")
        digests |= _digests(entries, root=root or file.parent, file=file)
        lists.append({"file": file.name, "sha256": sha256_of(file), "entries": len(entries)})
    return Exclusion(digests=frozenset(digests), lists=tuple(lists))


def read_pool(file: Path, *, root: Path | None = None) -> tuple[Path, ...]:
    """Read the pictures of a split file's training pool.

    Raises:
        PretrainingError: no split file, or it has no pool.
    """
    split = _read_json(file)
    if not isinstance(split, dict) or not _is_names(split.get(POOL)):
        raise PretrainingError(f"{file} is no split file with a list {POOL}")
    return tuple((root or file.parent) / name for name in split[POOL])


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, as hexadecimal text.

    Raises:
        PretrainingError: the file cannot be read.
    """
    try:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise PretrainingError(f"{path} can't be read: {error}") from error


def _entries(file: Path) -> list[str]:
    if file.suffix == ".json":
        return _held_out(file)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise PretrainingError(f"the list {file} can't be read: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def _held_out(file: Path) -> list[str]:
    split = _read_json(file)
    if not isinstance(split, dict):
        raise PretrainingError(f"{file} is no split file: it holds no named lists")
    found: list[str] = []
    for name, names in split.items():
        if name.startswith(HELD_OUT):
            if not _is_names(names):
                raise PretrainingError(f"{file}: {name} is no list of paths")
            found += names
    return found


def _digests(entries: Iterable[str], *, root: Path, file: Path) -> set[str]:
    digests, missing = set(), []
    for entry in entries:
        digest = _DIGEST.match(entry)
        if digest:
            digests.add(digest[1].lower())
        elif (root / entry).is_file():
            digests.add(sha256_of(root / entry))
        else:
            missing.append(entry)
    if missing:
        raise PretrainingError(
            f"{file} excludes {len(missing)} pictures that are not under {root}, such as "
            f"{missing[0]!r}: without their content they could be seen under another name. Give "
            f"their folder with --exclude-root, or list their SHA-256"
        )
    return digests


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PretrainingError(f"the split file {file} can't be read: {error}") from error


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)
