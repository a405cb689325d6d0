"""Reuse of readings: a task version that has read the same images is not run again."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from mediclip_dicom.database import ImageScore, Run, TaskVerdict


def reuse_readings(session: Session, run_id: str, version_ids: list[int]) -> list[int]:
    """Copy verdicts and scores from earlier runs of the same revision, where the images agree.

    Objects and maps stay with the run that made them; the verdict says which one that is.

    Args:
        session: in a transaction of the caller's.
        run_id: the run that is about to be scored.
        version_ids: the task versions that its images were routed to.

    Returns:
        The versions that are still to be scored.
    """
    run = session.get_one(Run, run_id)
    return [version for version in version_ids if not _reused(session, run, version)]


def other_readings(session: Session, run: Run, version_id: int) -> list[str]:
    """List the earlier runs of the same revision in which a version read for itself."""
    return list(
        session.scalars(
            select(TaskVerdict.run_id)
            .join(TaskVerdict.run)
            .where(
                Run.revision_id == run.revision_id,
                Run.id != run.id,
                Run.created_at <= run.created_at,
                TaskVerdict.task_version_id == version_id,
                TaskVerdict.read_in_run_id.is_(None),
            )
            .order_by(Run.created_at, Run.id)
        )
    )


def _reused(session: Session, run: Run, version_id: int) -> bool:
    wanted = _rows(session, run.id, version_id)
    for earlier in other_readings(session, run, version_id):
        found = _rows(session, earlier, version_id)
        if found.keys() != wanted.keys():
            continue
        for key, row in wanted.items():
            row.score, row.skipped = found[key].score, found[key].skipped
            row.box = found[key].box
        verdict = session.get_one(TaskVerdict, (earlier, version_id))
        session.merge(
            TaskVerdict(
                run_id=run.id,
                task_version_id=version_id,
                verdict=verdict.verdict,
                score=verdict.score,
                p_value=verdict.p_value,
                operating_point=verdict.operating_point,
                findings=verdict.findings,
                read_in_run_id=earlier,
            )
        )
        return True
    return False


def _rows(session: Session, run_id: str, version_id: int) -> dict[tuple[str, int], ImageScore]:
    rows = session.scalars(
        select(ImageScore).where(
            ImageScore.run_id == run_id, ImageScore.task_version_id == version_id
        )
    )
    return {(row.sop_instance_uid, row.frame): row for row in rows}
