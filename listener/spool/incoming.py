"""Data set that is being received, written fragment by fragment; 1 MiB of it is in memory."""

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

# Size of the buffer: a data set that is no larger is inspected in memory and written at once.
# Each call that hashes or writes gives up the interpreter lock, for which many associations wait:
# few large calls are better than many small ones.
_BUFFER_SIZE = 1024 * 1024
# Errors of file systems without hard links (FAT, some network ones), or of a policy against them.
_NO_LINKS = frozenset((errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK))


class IncomingDataSet:
    """File that grows with a received data set, and is deleted at the end unless it got a name.

    The file is made at the first write to the disk, so a small refused data set needs none.

    Args:
        path: of the new file, on the file system of its final name.
        header: bytes before the data set in the file.

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
        self._buffer = bytearray(header)
        self._hashed = self._data_start  # bytes of the buffer that are hashed, or header
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
        """Hex BLAKE3 of the data set until now, 64 characters; four times as fast as SHA-256."""
        self._hash_buffer()
        return self._digest.hexdigest()

    def write(self, fragment: bytes | memoryview) -> None:
        """Append the next part of the data set."""
        if len(self._buffer) + len(fragment) > _BUFFER_SIZE:
            with write_errors():
                self._flush()
        self._buffer += fragment
        self.size += len(fragment)

    def content(self) -> memoryview:
        """Return the data set; a large one is mapped from the file."""
        if len(self._buffer) == self._data_start + self.size:
            return memoryview(self._buffer)[self._data_start :]
        with write_errors():
            self._flush()
        # Unmapped with the last view of it; a traceback may still hold one.
        written = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        return memoryview(written)[self._data_start :]

    def sync(self, *, modified_ns: int) -> None:
        """Make the bytes durable.

        Args:
            modified_ns: the file's modification time, nanoseconds since the epoch.
        """
        with write_errors():
            self._flush()
            os.utime(self._descriptor, ns=(modified_ns, modified_ns))
            os.fsync(self._descriptor)

    def name(self, path: Path) -> None:
        """Give the file its final name; call `sync` first.

        Raises:
            FileExistsError: another file has that name.
            FileNotFoundError: the folder does not exist.
        """
        try:
            path.hardlink_to(self._path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Two equal instances at the same moment both count as new on such a file system.
            if path.exists():
                raise FileExistsError(path) from error
            self.replace(path)

    def replace(self, path: Path) -> None:
        """Give the file its final name, and replace the file that had it."""
        self._path.replace(path)

    def close(self) -> None:
        """Close the file and delete its temporary name."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        with suppress(OSError):
            self._path.unlink()

    def _flush(self) -> None:
        self._hash_buffer()
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        buffered, self._buffer, self._hashed = self._buffer, bytearray(), 0
        write_all(self._descriptor, buffered)

    def _hash_buffer(self) -> None:
        self._digest.update(memoryview(self._buffer)[self._hashed :])
        self._hashed = len(self._buffer)
