"""How fast one peer may send."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
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
            self._next = max(self._next, now - 1.0) + self._step
            return max(self._next - now, 0.0)
