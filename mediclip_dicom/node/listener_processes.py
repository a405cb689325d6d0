"""Several listener processes on one port, each started again when it ends by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from listener import Counts, Lifecycle, ListenerStatistics, LowDiskMark, SharedLimits
from mediclip_dicom.delivery import listener_settings
from mediclip_dicom.errors import NodeStartError
from mediclip_dicom.node.listener_process import STOP, Answer, Job
from mediclip_dicom.node.port_share import PortShare, SharedAddress
from mediclip_dicom.node.reception import port_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from listener import Spool
    from mediclip_dicom.settings import Settings

log = structlog.get_logger()

FIRST_RESTART_S = 0.5
LONGEST_RESTART_S = 60.0
START_LIMIT_S = 60.0
STOP_LIMIT_S = 40.0


class ListenerProcesses(Lifecycle):
    """Listener in `[node] processes` processes that share ports, limits and counts.

    One Python process uses one core however many senders there are; the kernel spreads
    connections over the processes (SO_REUSEPORT). One that ends costs its own associations only.

    Args:
        settings: the configuration.
        spool: open in this process; each listener process opens it, too.
        on_process_end: called after a process has ended by itself: what it stored and did not
            report yet is in the spool.
    """

    def __init__(
        self, settings: Settings, spool: Spool, *, on_process_end: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._on_process_end = on_process_end
        chosen = listener_settings(settings)
        self._mark = LowDiskMark(
            spool.space,
            min_free_bytes=chosen.min_free_bytes,
            min_free_percent=chosen.min_free_percent,
        )
        self._address: SharedAddress | None = None
        self._processes: list[_ListenerProcess] = []
        self._limits: SharedLimits | None = None

    @property
    def port(self) -> int | None:
        """The TCP port without TLS; None where there is none, or not started."""
        return None if self._address is None else self._address.port

    @property
    def tls_port(self) -> int | None:
        """The TCP port for TLS; None where there is none, or not started."""
        return None if self._address is None else self._address.tls_port

    @property
    def statistics(self) -> ListenerStatistics:
        """Counts of all processes until now, those that ended included."""
        return Counts().statistics() if self._limits is None else self._limits.statistics

    @property
    def open_associations(self) -> int:
        """Associations that are open now."""
        return 0 if self._limits is None else self._limits.open_associations

    @property
    def is_listening(self) -> bool:
        """Whether every process listens."""
        return bool(self._processes) and all(process.is_listening for process in self._processes)

    @property
    def is_disk_low(self) -> bool:
        """Whether instances are refused because the disk is low."""
        return self._mark.is_low

    @property
    def process_ids(self) -> list[int]:
        """The processes that listen now."""
        return [process.process_id for process in self._processes if process.is_listening]

    def start(self) -> None:
        """Listen; returns when every process does.

        Raises:
            NodeStartError: a process can't listen; the others are stopped.
        """
        node = self._settings.node
        try:
            try:
                self._address = SharedAddress(listener_settings(self._settings))
            except OSError as error:
                raise port_error(error, host=node.host, port=node.port) from error
            for number in range(node.processes):
                share = self._address.share(number)
                self._limits = share.limits
                self._processes.append(
                    _ListenerProcess(self._settings, share, on_end=self._on_process_end)
                )
            for process in self._processes:
                process.wait_until_listening()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop accepting, and end the processes when their associations have ended."""
        for process in self._processes:
            process.ask_to_stop()
        for process in self._processes:
            process.join()
        if self._address is not None:
            self._address.close()


class _ListenerProcess:
    """One process, kept alive by a thread."""

    def __init__(self, settings: Settings, share: PortShare, *, on_end: Callable[[], None]) -> None:
        self._share = share
        self._job = Job(settings=settings, share=share)
        self._on_end = on_end
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._failure: str | None = "it ended before it listened"
        self._process = self._launch()
        self._thread = threading.Thread(
            target=self._keep_alive, name=f"listener-process-{share.number}", daemon=True
        )
        self._thread.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_listening(self) -> bool:
        return self._failure is None and self._process.poll() is None

    def wait_until_listening(self) -> None:
        if not self._answered.wait(START_LIMIT_S):
            raise NodeStartError(
                f"listener process {self._share.number} said nothing for {START_LIMIT_S:.0f} s; "
                "see its log"
            )
        if self._failure is not None:
            raise NodeStartError(f"listener process {self._share.number}: {self._failure}")

    def ask_to_stop(self) -> None:
        self._stopping.set()
        self._send(STOP)

    def join(self) -> None:
        self._thread.join(STOP_LIMIT_S)
        if self._thread.is_alive():
            log.error("listener_process.killed", number=self._share.number)
            self._process.kill()
            self._thread.join()

    def _keep_alive(self) -> None:
        pause_s = FIRST_RESTART_S
        while True:
            was_listening = self._follow()
            self._share.counts.open_associations = 0
            first = not self._answered.is_set()
            self._answered.set()
            if self._stopping.is_set() or first:
                return
            log.error(
                "listener_process.ended",
                number=self._share.number,
                status=self._process.returncode,
                reason=self._failure,
            )
            if was_listening:
                pause_s = FIRST_RESTART_S
                self._report_end()
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_RESTART_S)
            self._process = self._launch()
            if self._stopping.is_set():
                self._send(STOP)

    def _follow(self) -> bool:
        """Take the answer of the process, and wait for its end; return whether it listened."""
        assert self._process.stdout is not None
        self._failure = "it ended before it listened"
        with suppress(ValidationError):
            self._failure = Answer.model_validate_json(self._process.stdout.readline()).failure
        listened = self._failure is None
        if listened:
            self._answered.set()
        self._process.stdout.read()
        self._process.wait()
        self._process.stdout.close()
        if listened:
            self._failure = "it was killed or crashed"
        return listened

    def _report_end(self) -> None:
        try:
            self._on_end()
        except Exception:
            log.exception("listener_process.report_failed", number=self._share.number)

    def _launch(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mediclip_dicom.node.listener_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._send(self._job.model_dump_json() + "\n", to=process)
        return process

    def _send(self, text: str, *, to: subprocess.Popen[str] | None = None) -> None:
        stdin = (to or self._process).stdin
        assert stdin is not None
        with suppress(OSError, ValueError):  # it has ended; its thread finds out
            stdin.write(text)
            stdin.flush()
