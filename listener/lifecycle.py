"""Start and stop: of a service, and of a function that is called at intervals."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

log = structlog.get_logger()


class Lifecycle(ABC):
    """Base of services that run from `start` to `stop`, or while their context is open.

    Example:
        >>> class Service(Lifecycle):
        ...     def start(self):
        ...         print("starts")
        ...
        ...     def stop(self):
        ...         print("stops")
        >>> with Service():
        ...     print("runs")
        starts
        runs
        stops
    """

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Start to run."""

    @abstractmethod
    def stop(self) -> None:
        """Stop, and return when nothing runs any more."""


class RepeatingTimer(Lifecycle):
    """Timer that calls a function again and again, in a thread of its own.

    An error in one call is logged and does not prevent the next call.

    Args:
        work: the function to call.
        name: of the thread, and in the log.
        every_s: seconds between the end of a call and the next one; none is made at the start.

    Example:
        >>> import threading
        >>> called = threading.Event()
        >>> with RepeatingTimer(called.set, name="sweep", every_s=0.01):
        ...     called.wait(10)
        True
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
        """Wait for the end of a running call, and make no other."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s):
            try:
                self._work()
            except Exception:  # an error of one call may not come again
                log.exception("timer.call_failed", work=self._name)
