"""The last step of receiving: a whole file is made durable and gets the name that counts."""

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
    """Gives received files their names. Safe for many threads and many processes.

    Args:
        folders: makes the folders on the way.
        removal: keeps a study from being removed meanwhile.
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
            path: its final name, which holds the digest of its content.
            study: that it belongs to.
            transfer_syntax_uid: that it came under.

        Returns:
            Whether it is new, and its time of receipt in nanoseconds since the epoch; for a
            repeat, the time of the first.

        Raises:
            InvalidInstanceError: it is there under another transfer syntax. The same bytes can't
                mean two things, so one of the two senders is wrong.
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
                    # Removed since: what came now is all that there is of it.
                    incoming.sync(modified_ns=received_ns)
                    new = True
                if new:
                    new = self._name(incoming, folder, path, transfer_syntax_uid)
                else:
                    # Whoever wrote it may have been killed between the name and the sync.
                    self._folders.ensure(folder)
                sync_folder(folder)
                return new, received_ns if new else path.stat().st_mtime_ns

    def _name(
        self, incoming: IncomingDataSet, folder: Path, path: Path, transfer_syntax_uid: str
    ) -> bool:
        """Give the name; return False where someone else stored the same just before."""
        self._folders.ensure(folder)
        try:
            return _take_name(incoming, path, transfer_syntax_uid)
        except FileNotFoundError:
            # The study was removed from the disk since its folder was last made.
            self._folders.forget(folder)
            self._folders.ensure(folder)
            return _take_name(incoming, path, transfer_syntax_uid)

    def _next_ns(self) -> int:
        """Return the time, never going back: a clock that is set back must not make old new."""
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
    """Whether a file is there and whole, and so what is received now is a repeat.

    Raises:
        InvalidInstanceError: it is there under another transfer syntax.
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
