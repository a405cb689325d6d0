"""What has arrived, gathered per study and reported at a bearable rate."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from listener.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from listener.spool import StoreReceipt

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StudyActivity:
    """What arrived for a study since the last report.

    Attributes:
        calling_ae_title: who sent the latest instance.
        instances: new contents since the last report.
        duplicates: contents that were in the spool before, since the last report.
        last_received_at: when the latest instance was received, UTC.
    """

    study_instance_uid: str
    calling_ae_title: str
    instances: int
    duplicates: int
    last_received_at: datetime


@dataclass(slots=True)
class _Pending:
    """Mutable account of one study that is arriving; guarded by the lock of its owner."""

    due: float
    calling_ae_title: str = ""
    instances: int = 0
    duplicates: int = 0
    last_received_at: datetime | None = None
    reporting: bool = False

    @property
    def empty(self) -> bool:
        return self.instances == 0 and self.duplicates == 0


class Arrivals(Lifecycle):
    """Tells one subscriber which studies are arriving.

    The first instance of a study is reported at once, later ones at most once per interval, and
    what is left after the last one when the interval ends or the study is flushed. A report that
    raises is made again after another interval, so that nothing goes unnoticed. A study that has
    been quiet for an interval is forgotten; its next instance is a first one again.

    Args:
        on_activity: called from the thread that stores, or from the one that `start` makes; never
            twice at a time for one study.
        min_interval_s: seconds between two reports of one study.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        on_activity: Callable[[StudyActivity], None],
        min_interval_s: float = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_activity = on_activity
        self._interval = min_interval_s
        self._clock = clock
        self._pending: dict[str, _Pending] = {}
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def stored(self, instance: StoreReceipt) -> None:
        """Take note of a stored instance; fit to be the `on_stored` of a StorageSCP."""
        study = instance.study_instance_uid
        with self._changed:
            account = self._pending.get(study)
            first = account is None
            if account is None:
                account = self._pending[study] = _Pending(due=self._clock())
            account.calling_ae_title = instance.calling_ae_title
            account.last_received_at = instance.received_at
            if instance.new:
                account.instances += 1
            else:
                account.duplicates += 1
        if first:
            self._report(study)

    def flush(self, study_instance_uids: Iterable[str] | None = None) -> None:
        """Report now what has not been reported, of some studies or of all."""
        with self._changed:
            studies = tuple(self._pending if study_instance_uids is None else study_instance_uids)
        for study in studies:
            self._report(study)

    def tick(self) -> float:
        """Report what is due, forget what is quiet, and return the seconds until the next due.

        Returns:
            Seconds, at most one interval.
        """
        now = self._clock()
        with self._changed:
            due = [study for study, account in self._pending.items() if account.due <= now]
            for study in due:
                account = self._pending[study]
                if account.empty and not account.reporting:
                    del self._pending[study]
        for study in due:
            self._report(study)
        with self._changed:
            next_due = min((account.due for account in self._pending.values()), default=now)
        wait = next_due - self._clock()
        return min(max(wait, 0.0), self._interval) if self._pending else self._interval

    def start(self) -> None:
        """Start the thread that makes the later reports."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop the thread and report what has not been reported."""
        if self._thread is not None:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._thread.join()
            self._thread = None
        self.flush()

    @property
    def open_studies(self) -> int:
        """How many studies are being kept account of."""
        with self._changed:
            return len(self._pending)

    def _run(self) -> None:
        while True:
            wait = self.tick()
            with self._changed:
                if self._stopping:
                    return
                self._changed.wait(timeout=max(wait, self._interval / 10))

    def _report(self, study: str) -> None:
        with self._changed:
            account = self._pending.get(study)
            if account is None or account.reporting or account.empty:
                return
            if account.last_received_at is None:  # cannot be while it is not empty
                return
            activity = StudyActivity(
                study_instance_uid=study,
                calling_ae_title=account.calling_ae_title,
                instances=account.instances,
                duplicates=account.duplicates,
                last_received_at=account.last_received_at,
            )
            account.instances = account.duplicates = 0
            account.reporting = True
        failed = True
        try:
            self._on_activity(activity)
            failed = False
        except Exception:
            log.exception("arrivals.report_failed", study_instance_uid=study)
        finally:
            with self._changed:
                account.reporting = False
                account.due = self._clock() + self._interval
                if failed:
                    account.instances += activity.instances
                    account.duplicates += activity.duplicates
