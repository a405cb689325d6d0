"""A listener process that is started again when it dies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import structlog

from listener.processes.worker import Failed, Job, Noted, Ready, Stop
from listener.scu.commitment import CommitmentReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener.settings import Counts

_log = structlog.get_logger()
_PROGRAM = "from listener.processes.worker import main; main({})"
_START_LIMIT_S = 60.0
_RESTART_AFTER_S = 0.5


class Supervised:
    """Keeps one process alive, and listens to it in a thread.

    Args:
        job: what each process that is started does.
        counts: of its number, kept when one dies.
        take: called with what it tells; the result is its answer where it waits for one.
    """

    def __init__(self, job: Job, counts: Counts, take: Callable[[object], Noted | None]) -> None:
        self._job = job
        self._counts = counts
        self._take = take
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._failure = "it did not start in time"
        self._sending = threading.Lock()
        self._process, self._connection = _started(job)
        self._thread = threading.Thread(
            target=self._keep_alive, name=f"storage-scp-process-{job.number}", daemon=True
        )
        self._thread.start()

    @property
    def process_id(self) -> int:
        """The process that there is now."""
        return self._process.pid

    @property
    def is_listening(self) -> bool:
        """Whether it has said so and is alive."""
        return self._ready.is_set() and self._process.poll() is None

    def wait_until_ready(self) -> None:
        """Wait until it listens.

        Raises:
            OSError: it does not, in a minute.
        """
        if not self._ready.wait(_START_LIMIT_S):
            raise OSError(f"a listener process can't listen: {self._failure}")

    def ask_to_stop(self) -> None:
        """Have it stop accepting, and end when its associations have."""
        self._stopping.set()
        self._send(Stop())

    def join(self, timeout_s: float) -> None:
        """Wait for its end and for all that it has told; kill it when that takes too long."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.error("listener.process_killed", number=self._job.number)
            self._process.kill()
            self._thread.join()

    def _keep_alive(self) -> None:
        while True:
            self._listen()
            status = self._process.wait()
            self._connection.close()
            self._counts.open_associations = 0
            if self._stopping.is_set():
                return
            _log.error("listener.process_ended", number=self._job.number, status=status)
            if self._stopping.wait(_RESTART_AFTER_S):
                return
            with self._sending:
                self._process, self._connection = _started(self._job)
            if self._stopping.is_set():
                self._send(Stop())

    def _listen(self) -> None:
        """Take what the process tells until it has gone; the kernel keeps what it sent before."""
        with suppress(EOFError, OSError):
            while True:
                message = self._connection.recv()
                if isinstance(message, Ready):
                    self._ready.set()
                elif isinstance(message, Failed):
                    self._failure = message.reason
                else:
                    answer = self._take(message)
                    if isinstance(message, CommitmentReport) and answer is not None:
                        self._send(answer)

    def _send(self, message: Stop | Noted) -> None:
        with self._sending, suppress(OSError):
            self._connection.send(message)


def _started(job: Job) -> tuple[subprocess.Popen[bytes], Connection[Any, Any]]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    connection: Connection[Any, Any] = Connection(ours.detach())
    with suppress(OSError):  # it died at once; who listens to it finds out
        connection.send(job)
    return process, connection
