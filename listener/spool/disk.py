"""Space and folders of the disk; receiving pauses while the space is low."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = structlog.get_logger()
# Hysteresis: otherwise a node at the mark would switch with every file that another program writes.
_RESUME_FACTOR = 1.05


@dataclass(frozen=True, slots=True)
class Space:
    """Space of a file system.

    Attributes:
        free: bytes that this user may still write.
        total: bytes of the file system.

    Example:
        >>> with Spool(tmp_path, measure=lambda root: Space(free=5, total=100)) as spool:
        ...     spool.space().free
        5
    """

    free: int
    total: int


def measure(root: Path) -> Space:
    """Measure the file system of a folder."""
    status = os.statvfs(root)
    return Space(free=status.f_bavail * status.f_frsize, total=status.f_blocks * status.f_frsize)


class LowDiskMark:
    """Free space below which nothing is received.

    Args:
        look: measures the space.
        min_free_bytes: the mark in bytes.
        min_free_percent: the mark in percent of the file system; the larger of the two counts.

    Example:
        >>> mark = LowDiskMark(
        ...     lambda: Space(free=5, total=100), min_free_bytes=0, min_free_percent=10
        ... )
        >>> mark.is_low
        True
    """

    def __init__(
        self, look: Callable[[], Space], *, min_free_bytes: int, min_free_percent: float
    ) -> None:
        self._look = look
        self._bytes = min_free_bytes
        self._percent = min_free_percent
        self._lock = threading.Lock()
        self._low = False

    @property
    def is_low(self) -> bool:
        """Whether the disk is low, as measured now."""
        return self.room() is None

    def room(self) -> int | None:
        """Return the bytes above the mark that may be written; None if the disk is low."""
        space = self._look()
        mark = max(self._bytes, int(space.total * self._percent / 100))
        with self._lock:
            was_low = self._low
            self._low = space.free < (mark * _RESUME_FACTOR if was_low else mark)
            low = self._low
        if low and not was_low:
            log.error("disk.low", free_bytes=space.free, mark_bytes=mark)
        elif was_low and not low:
            log.info("disk.recovered", free_bytes=space.free, mark_bytes=mark)
        return None if low else space.free - mark


def entries_in(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder; none if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def folders_in(folder: Path) -> list[os.DirEntry[str]]:
    """Return the folders in a folder, links not followed."""
    return [entry for entry in entries_in(folder) if entry.is_dir(follow_symlinks=False)]


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    for entry in entries_in(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _sizes(Path(entry.path))
            continue
        with suppress(FileNotFoundError):
            yield entry.stat(follow_symlinks=False).st_size
