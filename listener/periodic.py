"""Work that is done now and then, in a thread of its own, for as long as the node runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger()


class Repeating:
    """Calls a function again and again; an error of one turn is logged and ends that turn alone.

    Args:
        work: what is done; a turn.
        name: of the thread, and in the log.
        every_s: seconds between the end of a turn and the next; no turn is made at the start.
    """

    def __init__(self, work: Callable[[], object], *, name: str, every_s: float) -> None:
        self._work = work
        self._name = name
        self._every_s = every_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the turn that is being made, and make no other."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._work()
            except Exception:  # noqa: BLE001  whatever a turn met, the next may not meet it
                _log.exception("repeating.turn_failed", work=self._name)
