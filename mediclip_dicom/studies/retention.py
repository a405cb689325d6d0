"""Retention: finished studies leave the disk by age or size, the oldest first."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import RepeatingTimer, Spool
from mediclip_dicom.database import Delivery, DeliveryState, Run, RunState, Study
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.content import study_content

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FinishedStudy:
    """Study with no work left.

    Attributes:
        content_digest: of what was analysed.
        run_ids: of all its runs.
        finished_at: when its last run was done.
    """

    study_instance_uid: str
    content_digest: str
    run_ids: tuple[str, ...]
    finished_at: datetime


class Retention:
    """Removal of finished studies as [retention] says; nothing else is ever removed.

    A study is finished when every run of every revision is done, every result has arrived at every
    destination that it was meant for (and is confirmed, where the destination confirms), and there
    is at least one destination, or nothing to deliver. What failed waits for an administrator.
    """

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], spool: Spool) -> None:
        self._settings = settings
        self._sessions = sessions
        self._spool = spool
        self._repeating = RepeatingTimer(
            self.sweep, name="retention", every_s=settings.retention.check_every_s
        )

    def start(self) -> None:
        """Start the periodic sweep, in a thread of its own."""
        self._repeating.start()

    def stop(self) -> None:
        """Stop the periodic sweep."""
        self._repeating.stop()

    def sweep(self, *, now: datetime | None = None) -> int:
        """Remove the studies that may go, and return their number."""
        now = now or datetime.now(UTC)
        settings = self._settings.retention
        if settings.quarantine_days:
            self._spool.clear_quarantine(before=now - timedelta(days=settings.quarantine_days))
        if not settings.keep_days and not settings.keep_gb:
            return 0
        studies = sorted(self.finished(), key=lambda study: study.finished_at)
        oldest_kept = now - timedelta(days=settings.keep_days)
        excess = self._excess_bytes() if settings.keep_gb else 0
        removed = 0
        for study in studies:
            is_old = bool(settings.keep_days) and study.finished_at < oldest_kept
            if not is_old and excess <= 0:
                break
            size = self._spool.study_bytes(study.study_instance_uid)
            if self._remove(study):
                removed += 1
                excess -= size
        return removed

    def finished(self) -> list[FinishedStudy]:
        """List the studies that may be removed, in no order."""
        present = set(self._spool.studies())
        committing = frozenset(destination.name for destination in self._settings.confirming)
        with self._sessions() as session:
            found = [
                _finished(study, committing=committing)
                for study in session.scalars(select(Study))
                if study.study_instance_uid in present
            ]
        return [study for study in found if study is not None]

    def _excess_bytes(self) -> int:
        held = sum(self._spool.study_bytes(study) for study in self._spool.studies())
        return held - int(self._settings.retention.keep_gb * 2**30)

    def _remove(self, study: FinishedStudy) -> bool:
        uid = study.study_instance_uid

        def is_unchanged() -> bool:
            with self._sessions() as session:
                return study_content(session, self._spool, uid).digest == study.content_digest

        # What came since makes another digest, and the spool looks at it under its own lock.
        if not self._spool.remove_study(uid, is_as_expected=is_unchanged):
            return False
        storage = self._settings.storage
        for run_id in study.run_ids:
            for folder in (storage.results / run_id, storage.runs / run_id):
                shutil.rmtree(folder, ignore_errors=True)
        log.info("study.removed", study_uid=uid, runs=len(study.run_ids))
        return True


def _finished(study: Study, *, committing: frozenset[str]) -> FinishedStudy | None:
    runs = [run for revision in study.revisions for run in revision.runs]
    newest = study.revisions[-1]
    if not newest.runs or not all(_is_finished(run, committing=committing) for run in runs):
        return None
    return FinishedStudy(
        study_instance_uid=study.study_instance_uid,
        content_digest=newest.content_digest,
        run_ids=tuple(run.id for run in runs),
        finished_at=max(run.finished_at for run in runs if run.finished_at is not None),
    )


def _is_finished(run: Run, *, committing: frozenset[str]) -> bool:
    if run.finished_at is None:
        return False
    if run.state is RunState.NO_TASK:
        return True
    if run.state is RunState.DONE and not run.results:
        return True  # every reading was reused; the runs that made them are looked at, too
    deliveries = [delivery for result in run.results for delivery in result.deliveries]
    return (
        run.state is RunState.DONE
        and bool(deliveries)  # a kind that nobody asked for has none, and holds nothing up
        and all(_has_arrived(delivery, committing=committing) for delivery in deliveries)
    )


def _has_arrived(delivery: Delivery, *, committing: frozenset[str]) -> bool:
    if delivery.destination in committing:
        return delivery.state is DeliveryState.CONFIRMED
    return delivery.state in (DeliveryState.DELIVERED, DeliveryState.CONFIRMED)
