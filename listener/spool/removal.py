"""Removes a study atomically, unless an instance arrived meanwhile."""

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
    """Removal of studies while other threads and processes may store into them.

    A storing thread shares the study's lock from the rename to the sync, so the removing one, which
    holds it alone, sees every instance that was or will be acknowledged.

    Args:
        studies: folder of the studies.
        removing: folder that a study is moved to first, in one step.
        locks: folder of the lock files.
    """

    def __init__(self, *, studies: Path, removing: Path, locks: Path) -> None:
        self._studies = studies
        self._removing = removing
        self._locks = [SharedLock(locks / f"{number:02}.lock") for number in range(_LOCKS)]

    def close(self) -> None:
        """Close the lock files; no thread may be storing."""
        for lock in self._locks:
            lock.close()

    def storing(self, study: str) -> AbstractContextManager[None]:
        """Hold the lock that prevents the removal of a study."""
        return self._lock_of(study).held()

    def remove(self, study: str, *, is_as_expected: Callable[[], bool]) -> bool:
        """Remove a study if it is as expected; return whether it was removed."""
        target = self._removing / study
        with locked(self._lock_of(study).path):
            if target.exists() or not is_as_expected():
                return False
            try:
                (self._studies / study).rename(target)
            except FileNotFoundError:
                return False
            sync_folder(self._studies)
        shutil.rmtree(target, ignore_errors=True)  # the rest is deleted at the next start
        return True

    def finish(self) -> None:
        """Delete studies whose removal was cut off by a crash."""
        for entry in folders_in(self._removing):
            shutil.rmtree(entry.path, ignore_errors=True)

    def _lock_of(self, study: str) -> SharedLock:
        return self._locks[zlib.crc32(study.encode()) % _LOCKS]
