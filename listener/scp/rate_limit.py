"""How fast one peer may send."""

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
    """Says how long an answer has to wait so that a peer keeps to its rate over all associations.

    One second's worth may come in a burst.

    Args:
        per_s: instances per second.
        clock: seconds that never go back.
    """

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._step = 1 / per_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()

    def wait_s(self) -> float:
        """Return the seconds to wait before the answer to the instance that has come now."""
        with self._lock:
            now = self._clock()
            self._next = _after(self._next, now=now, step=self._step)
            return max(self._next - now, 0.0)


class SharedRateLimit:
    """The same for a peer whose associations are spread over processes of one machine.

    Args:
        path: of a file that they share and that is as old as they are at most.
        per_s: instances per second.
    """

    def __init__(self, path: Path, per_s: float) -> None:
        self._path = path
        self._step = 1 / per_s

    def wait_s(self) -> float:
        """Return the seconds to wait before the answer to the instance that has come now."""
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
