"""Rate limit of one peer."""

from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING

from listener.spool import locked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TIME = struct.Struct("d")


class RateLimit:
    """Delays of the answers to one peer over all its associations; a burst of one second is free.

    Args:
        per_s: instances per second.
        clock: monotonic clock in seconds.
    """

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = 1 / per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()

    def wait_s(self) -> float:
        """Return the seconds by which to delay the answer to an instance that is complete now."""
        with self._lock:
            now = self._clock()
            self._next = _after(self._next, now=now, step=self._step)
            return max(self._next - now, 0.0)


class SharedRateLimit:
    """Rate limit of one peer over several processes of one machine.

    Args:
        path: file shared by this run's processes; must be new at every start.
        per_s: instances per second.
    """

    def __init__(self, path: Path, per_s: float) -> None:
        self._path = path
        self._step = 1 / per_s

    def wait_s(self) -> float:
        """Return the seconds by which to delay the answer to an instance that is complete now."""
        with locked(self._path.with_suffix(".lock")):
            now = time.monotonic()
            try:
                (before,) = _TIME.unpack(self._path.read_bytes())
            except (FileNotFoundError, struct.error):
                before = now
            following = _after(before, now=now, step=self._step)
            self._path.write_bytes(_TIME.pack(following))
        return max(following - now, 0.0)


def _after(before: float, *, now: float, step: float) -> float:
    return max(before, now - 1.0) + step
