"""Atomic writes: a file is replaced whole, safe on disk, or left as it was."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file's content; a reader, or a kill at any time, finds the old or the new.

    Several processes and threads may write the same file; the last one wins.

    Args:
        path: the file; its folder must exist.
        data: the new content.

    Raises:
        OSError: the file can't be written; it is as it was.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_bytes(data)
        _put(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file's content by text in UTF-8, line ends as they are; see `write_bytes`."""
    write_bytes(path, text.encode())


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a file to write piece by piece, which replaces ``path`` when the block ends well.

    For large files. Each writer has a partial file of its own, so that two of them never write
    into one; it is removed when the block fails.

    Args:
        path: the file; its folder must exist.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        _put(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold a lock among processes and threads of this machine while the block runs.

    The lock ends with the process, however that ends; its empty file stays.

    Args:
        path: a file for the lock alone; its folder must exist.
        wait: wait until the lock is free.

    Raises:
        BlockingIOError: another one holds it, and ``wait`` is False.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _put(partial: Path, path: Path) -> None:
    _sync(partial)
    partial.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
