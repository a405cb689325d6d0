"""Roles of a node, and the hold that a process has of a role on its storage."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

from mediclip_dicom.errors import NodeStartError

if TYPE_CHECKING:
    from pathlib import Path

# The executor id of every node before roles had one of their own: the engine's default.
UNNAMED_EXECUTOR = "local"


class Role(StrEnum):
    """Part of the node that may run in a process of its own.

    LISTENER receives studies, WORKER analyses and delivers them, MAINTENANCE removes what has
    been kept for long enough.
    """

    LISTENER = "listener"
    WORKER = "worker"
    MAINTENANCE = "maintenance"


ALL_ROLES = tuple(Role)


class RoleHold:
    """Exclusive hold of one role on one storage root, until it is released or the process ends.

    The lock is the kernel's, so a killed process leaves none behind. The file names the executor
    ids under which holders of the role ran workflows: whoever holds the lock may take them for
    dead.

    Args:
        root: `[storage] root`; made if missing.
        role: the role.

    Raises:
        NodeStartError: another process holds the role on this storage, or the folder can't be
            used.
    """

    def __init__(self, root: Path, role: Role) -> None:
        self._path = root / f"{role.value}.lock"
        used_before = (root / "spool").exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._path.open("a+b")
        except OSError as error:
            raise NodeStartError(
                f"{self._path} can't be opened: {error.strerror}; see [storage] root"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _read(self._file).get("process", "unknown")
            self._file.close()
            raise NodeStartError(
                f"another node runs on {root} ({role.value}: process {holder}); two on one storage "
                "would send each result twice. Stop the other one, or give this one a [storage] "
                "root and a port of its own"
            ) from error
        unnamed = [UNNAMED_EXECUTOR] if used_before else []
        self.predecessors: tuple[str, ...] = tuple(_read(self._file).get("executors", unnamed))
        self.executor_id = f"{role.value}-{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._write([*self.predecessors, self.executor_id])

    def forget_predecessors(self) -> None:
        """Note that the workflows of earlier holders have been taken over."""
        self._write([self.executor_id])

    def release(self) -> None:
        """Let another process have the role."""
        self._file.close()

    def _write(self, executors: list[str]) -> None:
        # In place: a new file under this name would be another lock.
        text = json.dumps({"process": os.getpid(), "executors": executors}).encode()
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())


def _read(file: BinaryIO) -> dict[str, Any]:
    file.seek(0)
    try:
        record = json.loads(file.read() or b"{}")
    except ValueError:  # cut short by a crash
        return {}
    return record if isinstance(record, dict) else {}
