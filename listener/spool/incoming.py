"""A data set on its way to the disk, a fragment at a time; a megabyte of it is held in memory."""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from listener.spool.durable import write_all, write_errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

# What is held before it is written: a data set that is no larger is written at once and looked at
# in memory. Threads that work for many associations wait for each other's turn at every call that
# hashes or writes, so a few large ones are better than many small ones.
_HELD = 1024 * 1024
# What a file system without links says (FAT, some on a network), or a policy against them.
_NO_LINKS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK))


class IncomingDataSet:
    """A file that grows with what is received; at the end only the name that it was given is left.

    There is no file before something is written to the disk, so that what is not kept costs none.

    Args:
        path: of the file, on the file system that it will stay on; nothing may be there.
        header: what stands before the data set in the file.

    Attributes:
        size: bytes of the data set until now.

    Raises:
        StorageFullError, SpoolWriteError: the disk is full or failed; from `write`,
            `content` and `sync`.
    """

    def __init__(self, path: Path, header: bytes) -> None:
        self.size = 0
        self._path = path
        self._data_start = len(header)
        self._held = bytearray(header)
        self._hashed = self._data_start  # bytes of what is held that the digest knows or leaves out
        self._digest = blake3()
        self._descriptor = -1

    def __enter__(self) -> IncomingDataSet:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def digest(self) -> str:
        """Hex BLAKE3 of the data set until now: 64 characters.

        It takes a quarter of the time of SHA-256, and less where the processor has no instructions
        for that.
        """
        self._hash_held()
        return self._digest.hexdigest()

    def write(self, fragment: bytes | memoryview) -> None:
        """Append the next part of the data set."""
        if len(self._held) + len(fragment) > _HELD:
            with write_errors():
                self._write_held()
        self._held += fragment
        self.size += len(fragment)

    def content(self) -> memoryview:
        """Return the data set, in the pages that the system keeps of the file where it is large."""
        if len(self._held) == self._data_start + self.size:
            return memoryview(self._held)[self._data_start :]
        with write_errors():
            self._write_held()
        # Unmapped when the last view of it is gone; closing it here would break a view that an
        # exception's traceback still holds.
        written = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return memoryview(written)[self._data_start :]

    def sync(self, *, modified_ns: int) -> None:
        """Make the bytes durable.

        Args:
            modified_ns: the file's modification time, nanoseconds since the epoch.
        """
        with write_errors():
            self._write_held()
            os.utime(self._descriptor, ns=(modified_ns, modified_ns))
            os.fsync(self._descriptor)

    def name(self, path: Path) -> None:
        """Give the file the name that it keeps; it must have been synced.

        Raises:
            FileExistsError: something has that name.
            FileNotFoundError: there is no such folder.
        """
        try:
            path.hardlink_to(self._path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Two that bring the same at the same moment both count as new on such a file system.
            if path.exists():
                raise FileExistsError(path) from error
            self.replace(path)

    def replace(self, path: Path) -> None:
        """Give the file the name that it keeps, and take it from whatever had it."""
        self._path.replace(path)

    def close(self) -> None:
        """Let go of the file; only the name that it was given is left."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        with suppress(OSError):
            self._path.unlink()

    def _write_held(self) -> None:
        self._hash_held()
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        held, self._held, self._hashed = self._held, bytearray(), 0
        write_all(self._descriptor, held)

    def _hash_held(self) -> None:
        self._digest.update(memoryview(self._held)[self._hashed :])
        self._hashed = len(self._held)
