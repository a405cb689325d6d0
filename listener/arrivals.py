"""Reports of arriving studies to one subscriber, apart from the threads that receive."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from listener.errors import SubscriberError
from listener.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from listener.scp import AssociationEnd
    from listener.spool import StoreReceipt

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StudyActivity:
    """Instances of one study that were stored since its last report.

    Attributes:
        calling_ae_title: AE title of the sender of the latest instance.
        instances: new contents.
        duplicates: contents that were in the spool before.
        last_received_at: time of the latest instance, UTC.

    Example:
        >>> def on_activity(activity: StudyActivity) -> None:
        ...     print(activity.study_instance_uid, activity.instances)
        >>> from datetime import datetime
        >>> on_activity(StudyActivity("1.2.3", "CT1", 5, 0, datetime(2026, 11, 28)))
        1.2.3 5
    """

    study_instance_uid: str
    calling_ae_title: str
    instances: int
    duplicates: int
    last_received_at: datetime


@dataclass(slots=True)
class _Unreported:
    """Mutable count of one study; guarded by the lock of its owner.

    Attributes:
        due: when to report it, or to forget it if nothing came; seconds of the monotonic clock.
        latest: the latest receipt, None if everything was reported.
    """

    due: float
    instances: int = 0
    duplicates: int = 0
    latest: StoreReceipt | None = None


class Arrivals(Lifecycle):
    """Reporter of arriving studies and ended associations.

    One thread makes all reports, so that no answer to a peer waits for a subscriber. The first
    instance of a study is reported at once, later ones at most once per interval. A study that has
    been quiet for an interval is forgotten; its next instance is a first one again. A report that
    raises is repeated after an interval, with all that came since.

    Args:
        on_activity: called with the activity of one study.
        min_interval_s: seconds between two reports of one study, and between two tries.
        on_association_end: called with an ended association, after all instances of its studies
            were reported.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> studies, ends = [], []
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with (
        ...     Spool(tmp_path) as spool,
        ...     Arrivals(studies.append, on_association_end=ends.append) as arrivals,
        ...     StorageSCP(
        ...         settings,
        ...         spool,
        ...         arrivals.stored,
        ...         on_association_end=arrivals.association_ended,
        ...     ) as scp,
        ... ):
        ...     path = Path(get_testdata_file("CT_small.dcm", download=False))
        ...     outcomes = store(Peer("NODE", "127.0.0.1", scp.port), [path])
        >>> [activity.instances for activity in studies], [end.peer for end in ends]
        ([1], ['any'])
    """

    def __init__(
        self,
        on_activity: Callable[[StudyActivity], None],
        *,
        min_interval_s: float = 1.0,
        on_association_end: Callable[[AssociationEnd], None] | None = None,
    ) -> None:
        self._on_activity = on_activity
        self._on_association_end = on_association_end
        self._interval_s = min_interval_s
        self._studies: dict[str, _Unreported] = {}
        self._ends: list[tuple[float, AssociationEnd]] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def open_studies(self) -> int:
        """Number of studies that are not forgotten yet."""
        with self._changed:
            return len(self._studies)

    def stored(self, receipt: StoreReceipt) -> None:
        """Count a stored instance; pass this as the `on_stored` of a `StorageSCP`."""
        with self._changed:
            study = self._studies.get(receipt.study_instance_uid)
            if study is None:
                study = _Unreported(due=time.monotonic())
                self._studies[receipt.study_instance_uid] = study
                self._changed.notify()
            study.latest = receipt
            if receipt.new:
                study.instances += 1
            else:
                study.duplicates += 1

    def association_ended(self, end: AssociationEnd) -> None:
        """Queue an ended association; pass this as the `on_association_end` of a `StorageSCP`."""
        with self._changed:
            self._ends.append((time.monotonic(), end))
            self._changed.notify()

    def start(self) -> None:
        """Start the thread that reports."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="arrivals", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Report what is left, then stop; a report that raises now is logged and not repeated.

        Stop receiving first.
        """
        if self._thread is None:
            self._deliver(everything=True)
            return
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._thread = None

    def _run(self) -> None:
        stopping = False
        while not stopping:
            with self._changed:
                while not self._stopping and (wait_s := self._wait_s()) > 0:
                    self._changed.wait(min(wait_s, threading.TIMEOUT_MAX))
                stopping = self._stopping
            self._deliver(everything=stopping)

    def _wait_s(self) -> float:
        """Return the seconds until something is due."""
        dues = [due for due, _ in self._ends]
        dues += [study.due for study in self._studies.values()]
        return min(dues, default=float("inf")) - time.monotonic()

    def _deliver(self, *, everything: bool) -> None:
        now = float("inf") if everything else time.monotonic()
        with self._changed:
            ends = [end for due, end in self._ends if due <= now]
            self._ends = [(due, end) for due, end in self._ends if due > now]
            studies = [uid for uid, study in self._studies.items() if study.due <= now]
        for end in ends:
            self._deliver_end(end)
        for uid in studies:
            self._report(uid)

    def _deliver_end(self, end: AssociationEnd) -> None:
        failed = [uid for uid in sorted(end.study_instance_uids) if not self._report(uid)]
        delivered = not failed
        if delivered and self._on_association_end is not None:
            try:
                self._on_association_end(end)
            except SubscriberError as error:  # repeated after the interval, and so is the next
                log.warning(
                    "association.report_failed",
                    association=end.association_id,
                    reason=str(error),
                )
                delivered = False
            except Exception:
                log.exception("association.report_failed", association=end.association_id)
                delivered = False
        if not delivered:
            with self._changed:
                self._ends.append((time.monotonic() + self._interval_s, end))

    def _report(self, uid: str) -> bool:
        """Report a study, or forget it if nothing came; return False if the subscriber failed."""
        with self._changed:
            study = self._studies.get(uid)
            if study is None:
                return True
            if study.latest is None:
                if study.due <= time.monotonic():
                    del self._studies[uid]
                return True
            latest, instances, duplicates = study.latest, study.instances, study.duplicates
            study.latest, study.instances, study.duplicates = None, 0, 0
        activity = StudyActivity(
            study_instance_uid=uid,
            calling_ae_title=latest.calling_ae_title,
            instances=instances,
            duplicates=duplicates,
            last_received_at=latest.received_at,
        )
        reported = True
        try:
            self._on_activity(activity)
        except SubscriberError as error:  # repeated after the interval, and so is the next
            log.warning("study.report_failed", study_uid=uid, reason=str(error))
            reported = False
        except Exception:
            log.exception("study.report_failed", study_uid=uid)
            reported = False
        with self._changed:
            study.due = time.monotonic() + self._interval_s
            if not reported:
                study.latest = study.latest or latest
                study.instances += instances
                study.duplicates += duplicates
        return reported
