"""A data set on its way to the disk, a fragment at a time: never held in memory as a whole."""

from __future__ import annotations

import hashlib
import mmap
import os
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from listener.durable import write_errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class IncomingDataSet:
    """A file that grows with what is received, and is gone at the end unless it was renamed.

    Args:
        folder: where, on the file system that the file will stay on.
        header: what stands before the data set in the file.

    Attributes:
        path: of the file.
        size: bytes of the data set until now.

    Raises:
        StorageFullError, SpoolWriteError: the disk is full or failed; from `write` and `sync` too.
    """

    def __init__(self, folder: Path, header: bytes) -> None:
        self.path = folder / f"{uuid.uuid4().hex}.part"
        self.size = 0
        self._start = len(header)
        self._digest = hashlib.sha256()
        with write_errors():
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
            try:
                self._write(header)
            except BaseException:
                self.close()
                raise

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
    def sha256(self) -> str:
        """Hex digest of the data set until now."""
        return self._digest.hexdigest()

    def write(self, fragment: bytes | memoryview) -> None:
        """Append the next part of the data set."""
        with write_errors():
            self._write(fragment)
        self._digest.update(fragment)
        self.size += len(fragment)

    def content(self) -> memoryview:
        """Return the data set, in the pages that the system keeps of the file."""
        if not self.size:
            return memoryview(b"")
        # Unmapped when the last view of it is gone; closing it here would break a view that an
        # exception's traceback still holds.
        return memoryview(mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ))[self._start :]

    def sync(self, *, modified_ns: int) -> None:
        """Make the bytes durable.

        Args:
            modified_ns: the file's modification time, nanoseconds since the epoch.
        """
        with write_errors():
            os.utime(self._descriptor, ns=(modified_ns, modified_ns))
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file; it is removed unless it was renamed."""
        if self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        with suppress(OSError):
            self.path.unlink()

    def _write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
