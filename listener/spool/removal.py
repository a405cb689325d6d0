"""Studies leave the spool whole or not at all, and never with something that has just come."""

from __future__ import annotations

import shutil
import zlib
from typing import TYPE_CHECKING

from listener.spool.disk import folders_in
from listener.spool.durable import SharedLock, locked, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

_LOCKS = 64


class StudyRemoval:
    """Takes studies out of the spool while others may be storing into them.

    Who stores holds the study's lock from the rename to the sync, so that whoever holds it alone
    sees every instance that was or will be acknowledged before.

    Args:
        studies: the folder of studies.
        removing: where a study is moved to first, so that it goes in one step.
        locks: where lock files are.
    """

    def __init__(self, *, studies: Path, removing: Path, locks: Path) -> None:
        self._studies = studies
        self._removing = removing
        self._locks = [SharedLock(locks / f"{number:02}.lock") for number in range(_LOCKS)]

    def close(self) -> None:
        """Let go of the lock files; nobody may be storing."""
        for lock in self._locks:
            lock.close()

    def storing(self, study: str) -> AbstractContextManager[None]:
        """Keep a study from being removed meanwhile."""
        return self._lock_of(study).held()

    def remove(self, study: str, *, is_as_expected: Callable[[], bool]) -> bool:
        """Remove a study if it still is what the caller thinks; return whether it did."""
        target = self._removing / study
        with locked(self._lock_of(study).path):
            if target.exists() or not is_as_expected():
                return False
            try:
                (self._studies / study).rename(target)
            except FileNotFoundError:
                return False
            sync_folder(self._studies)
        shutil.rmtree(target, ignore_errors=True)  # what is left goes at the next start
        return True

    def finish(self) -> None:
        """Delete what a crash left between the rename and its end."""
        for entry in folders_in(self._removing):
            shutil.rmtree(entry.path, ignore_errors=True)

    def _lock_of(self, study: str) -> SharedLock:
        return self._locks[zlib.crc32(study.encode()) % _LOCKS]
