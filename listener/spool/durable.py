"""Writes and locks that survive a crash or a power cut."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import uuid
from collections import OrderedDict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from listener.errors import SpoolWriteError, StorageFullError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_MAX_KNOWN_FOLDERS = 4096


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_errors() -> Iterator[None]:
    """Turn an OSError into SpoolWriteError, or StorageFullError where space or quota ran out."""
    try:
        yield
    except OSError as error:
        text = f"the spool can't write: {os.strerror(error.errno or 0)}"
        kind = StorageFullError if error.errno in _FULL else SpoolWriteError
        raise kind(text) from error


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all bytes to a file, with as many calls as it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def write_atomically(path: Path, parts: Sequence[bytes | memoryview], *, temporary: Path) -> None:
    """Write a file that is there as a whole or not at all, and durable when this returns.

    Args:
        path: final name; a file of that name is replaced.
        parts: content, one part after the other.
        temporary: folder to write in first, on the same file system; no file stays there, except
            after a crash one whose name ends in ".part".

    Raises:
        OSError: the disk failed; nothing was written.
    """
    unfinished = temporary / f"{uuid.uuid4().hex}.part"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        try:
            for part in parts:
                write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        unfinished.rename(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
    sync_folder(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes and threads; it ends with its holder.

    Args:
        path: lock file; made if missing, never removed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class SharedLock:
    """Shared lock of all threads of a process, against the exclusive one of `locked`.

    The first thread takes it and the last one releases it; the file stays open until `close`.

    Attributes:
        path: lock file, for `locked`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._guard = threading.Lock()
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock, together with other threads and processes that share it."""
        with self._guard:
            if self._file is None:
                self._file = self.path.open("ab")
            file = self._file
            if not self._holders:
                fcntl.flock(file, fcntl.LOCK_SH)
            self._holders += 1
        try:
            yield
        finally:
            with self._guard:
                self._holders -= 1
                if not self._holders:
                    fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; no thread may hold the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None


class DurableFolders:
    """Folders below a root that survive a power cut.

    A folder that exists may have been made by a process that was killed before it synced the
    entry; so a folder counts as durable only after this object has synced it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: OrderedDict[Path, None] = OrderedDict()

    def ensure(self, folder: Path) -> None:
        """Make a folder and its parents up to the root, and sync every entry."""
        with self._lock:
            if folder in self._known:
                self._known.move_to_end(folder)
                return
            folder.mkdir(parents=True, exist_ok=True)
            for parent in folder.parents:
                sync_folder(parent)
                if parent == self._root:
                    break
            self._known[folder] = None
            if len(self._known) > _MAX_KNOWN_FOLDERS:
                self._known.popitem(last=False)

    def forget(self, folder: Path) -> None:
        """Sync a folder again next time, since it was removed."""
        with self._lock:
            self._known.pop(folder, None)
