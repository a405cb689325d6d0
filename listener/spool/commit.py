"""Commit of a received file: it becomes durable, then gets its final name."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from listener.errors import InvalidInstanceError
from listener.spool.durable import DurableFolders, sync_folder, write_errors
from listener.spool.part10 import read_header

if TYPE_CHECKING:
    from pathlib import Path

    from listener.spool.incoming import IncomingDataSet
    from listener.spool.removal import StudyRemoval


class Committer:
    """Committer of received files. Safe for many threads and many processes.

    Args:
        folders: makes the folders of studies and series.
        removal: prevents that a study is removed meanwhile.
    """

    def __init__(self, *, folders: DurableFolders, removal: StudyRemoval) -> None:
        self._folders = folders
        self._removal = removal
        self._clock_lock = threading.Lock()
        self._last_ns = 0

    def commit(
        self, incoming: IncomingDataSet, path: Path, *, study: str, transfer_syntax_uid: str
    ) -> tuple[bool, int]:
        """Make a file durable under its final name.

        Args:
            incoming: the file, complete.
            path: final name, with the digest of the content.
            study: Study Instance UID.
            transfer_syntax_uid: as negotiated.

        Returns:
            Whether it is new, and its time of receipt in nanoseconds since the epoch; for a
            repeat, the time of the first.

        Raises:
            InvalidInstanceError: the same bytes were stored with another transfer syntax, so one
                of the two senders is wrong.
            StorageFullError: the disk is full.
            SpoolWriteError: the disk failed.
        """
        received_ns, folder = self._next_ns(), path.parent
        with write_errors():
            new = not _is_stored(path, transfer_syntax_uid, size=incoming.size)
            if new:
                incoming.sync(modified_ns=received_ns)
            with self._removal.storing(study):
                if not new and not path.exists():
                    # The first one was removed meanwhile: this one is the only copy.
                    incoming.sync(modified_ns=received_ns)
                    new = True
                if new:
                    new = self._name(incoming, folder, path, transfer_syntax_uid)
                else:
                    # The process that named it may have been killed before the sync.
                    self._folders.ensure(folder)
                sync_folder(folder)
                return new, received_ns if new else path.stat().st_mtime_ns

    def _name(
        self, incoming: IncomingDataSet, folder: Path, path: Path, transfer_syntax_uid: str
    ) -> bool:
        """Give the name; return False if an equal file was stored meanwhile."""
        self._folders.ensure(folder)
        try:
            return _take_name(incoming, path, transfer_syntax_uid)
        except FileNotFoundError:
            # The study was removed from the disk after its folder was made.
            self._folders.forget(folder)
            self._folders.ensure(folder)
            return _take_name(incoming, path, transfer_syntax_uid)

    def _next_ns(self) -> int:
        """Return a time that never goes back, so that the latest content stays the newest one."""
        with self._clock_lock:
            self._last_ns = max(time.time_ns(), self._last_ns + 1000)
            return self._last_ns


def _take_name(incoming: IncomingDataSet, path: Path, transfer_syntax_uid: str) -> bool:
    try:
        incoming.name(path)
    except FileExistsError:
        if _is_stored(path, transfer_syntax_uid, size=incoming.size):
            return False
        incoming.replace(path)
    return True


def _is_stored(path: Path, transfer_syntax_uid: str, *, size: int) -> bool:
    """Check for a complete file of that name, of which a received one is a repeat.

    Raises:
        InvalidInstanceError: it was stored with another transfer syntax.
    """
    try:
        header = read_header(path) if path.exists() else None
    except FileNotFoundError:  # removed meanwhile
        return False
    if header is None or header.data_set_size != size:
        return False
    if header.transfer_syntax_uid != transfer_syntax_uid:
        raise InvalidInstanceError("the same bytes came under another transfer syntax before")
    return True
