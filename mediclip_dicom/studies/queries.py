"""Queries about studies, runs and deliveries, for the command line and the console.

Each returns frozen rows, so that nothing that shows them needs the database or its session.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import get_args

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session, selectinload

from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ImageScore,
    ResultFile,
    RevisionInstance,
    Run,
    RunState,
    Study,
    StudyRevision,
    TaskVerdict,
    TaskVersion,
)
from mediclip_dicom.errors import StudyNotFoundError
from mediclip_dicom.settings import ResultKind
from mediclip_dicom.studies.findings import findings_from_json
from mediclip_dicom.studies.rows import (
    DeliveryRow,
    NewestReading,
    OpenDelivery,
    ResultRow,
    RunDetails,
    RunRow,
    StudyDetails,
    StudyPage,
    StudyRow,
    VerdictRow,
    WaitingRun,
)

WAITING_RUNS = (RunState.QUEUED, RunState.SCORING, RunState.WRITING)
OPEN_DELIVERIES = (DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.CANCELLED)


def list_studies(session: Session, *, limit: int, offset: int = 0) -> StudyPage:
    """Read a page of the studies, the newest first.

    Args:
        session: of the database.
        limit: at most so many studies.
        offset: number of newer studies to leave out.
    """
    total = session.scalar(select(func.count()).select_from(Study)) or 0
    studies = session.scalars(
        select(Study)
        .order_by(Study.id.desc())
        .limit(limit)
        .offset(offset)
        .options(selectinload(Study.revisions).selectinload(StudyRevision.runs))
    ).all()
    newest = [study.revisions[-1] for study in studies]
    instances = _count_instances(session, [revision.id for revision in newest])
    verdicts = _verdicts_of(session, [run.id for revision in newest for run in revision.runs])
    rows = tuple(
        StudyRow(
            study_uid=study.study_instance_uid,
            received_at=revision.created_at,
            revision=revision.number,
            instances=instances.get(revision.id, 0),
            runs=tuple(
                RunRow(run.id, run.state, verdicts.get(run.id, ())) for run in revision.runs
            ),
        )
        for study, revision in zip(studies, newest, strict=True)
    )
    return StudyPage(rows, total)


def get_study(session: Session, study_uid: str) -> StudyDetails:
    """Read a study with its runs, verdicts, scores, results and deliveries.

    Raises:
        StudyNotFoundError: the node has not received such a study.
    """
    study = session.scalar(select(Study).where(Study.study_instance_uid == study_uid))
    if study is None:
        raise StudyNotFoundError(
            f"the node has no study {study_uid}; see mediclip-dicom study list"
        )
    runs = session.scalars(
        select(Run)
        .join(StudyRevision)
        .where(StudyRevision.study_id == study.id)
        .order_by(StudyRevision.number, Run.created_at)
        .options(
            selectinload(Run.revision),
            selectinload(Run.results).selectinload(ResultFile.deliveries),
        )
    ).all()
    verdicts = _verdicts_of(session, [run.id for run in runs])
    return StudyDetails(
        study_uid=study.study_instance_uid,
        first_seen_at=study.first_seen_at,
        runs=tuple(_run_details(session, run, verdicts.get(run.id, ())) for run in runs),
    )


def newest_reading(session: Session, study_uid: str, *, task: str | None = None) -> NewestReading:
    """Find the newest run that read a study, for all its tasks or for one.

    Raises:
        StudyNotFoundError: no task has read the study, or this one has not.
    """
    run = session.scalar(
        select(Run)
        .join(StudyRevision)
        .join(Study)
        .where(Study.study_instance_uid == study_uid, Run.verdicts.any())
        .order_by(StudyRevision.number.desc(), Run.created_at.desc())
        .limit(1)
    )
    if run is None:
        raise StudyNotFoundError(
            f"the node has read no study {study_uid}; see mediclip-dicom study list"
        )
    sources = tuple(
        (verdict.read_in_run_id or run.id, verdict.task_version_id)
        for verdict in run.verdicts
        if task in (None, verdict.task_version.task.name)
    )
    if not sources:
        raise StudyNotFoundError(f"the task {task} has not read study {study_uid}")
    objects = session.scalars(
        select(ResultFile.path)
        .where(
            tuple_(ResultFile.run_id, ResultFile.task_version_id).in_(sources),
            # A report as another class says the same, for a destination that needs it so.
            ResultFile.kind.in_(get_args(ResultKind)),
        )
        .order_by(ResultFile.path)
    )
    return NewestReading(sources, tuple(objects))


def waiting_runs(session: Session) -> tuple[WaitingRun, ...]:
    """Read the runs whose results are not written yet, the oldest first."""
    runs = session.scalars(
        select(Run)
        .where(Run.state.in_(WAITING_RUNS))
        .order_by(Run.created_at)
        .options(selectinload(Run.revision).selectinload(StudyRevision.study))
    )
    return tuple(
        WaitingRun(run.id, run.revision.study.study_instance_uid, run.state, run.created_at)
        for run in runs
    )


def open_deliveries(
    session: Session, *, confirming: Iterable[str] = ()
) -> tuple[OpenDelivery, ...]:
    """Read the deliveries that are not done, the oldest first.

    Args:
        session: of the database.
        confirming: destinations whose deliveries are done only when they are confirmed.
    """
    rows = session.scalars(
        select(Delivery)
        .where(
            Delivery.state.in_(OPEN_DELIVERIES)
            | (
                (Delivery.state == DeliveryState.DELIVERED)
                & Delivery.destination.in_(list(confirming))
            )
        )
        .options(
            selectinload(Delivery.result)
            .selectinload(ResultFile.run)
            .selectinload(Run.revision)
            .selectinload(StudyRevision.study)
        )
    )
    groups: dict[tuple[str, str, DeliveryState], list[Delivery]] = {}
    for row in rows:
        groups.setdefault((row.result.run_id, row.destination, row.state), []).append(row)
    found = [
        OpenDelivery(
            run_id=run_id,
            study_uid=group[0].result.run.revision.study.study_instance_uid,
            destination=destination,
            state=state,
            objects=len(group),
            attempts=max(row.attempts for row in group),
            since=min(row.result.run.created_at for row in group),
            comment=next((row.comment for row in group if row.comment), ""),
        )
        for (run_id, destination, state), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda delivery: (delivery.since, delivery.run_id)))


def _count_instances(session: Session, revision_ids: Sequence[int]) -> dict[int, int]:
    rows = session.execute(
        select(RevisionInstance.revision_id, func.count())
        .where(RevisionInstance.revision_id.in_(revision_ids))
        .group_by(RevisionInstance.revision_id)
    )
    return {row[0]: row[1] for row in rows}


def _verdicts_of(session: Session, run_ids: Sequence[str]) -> dict[str, tuple[VerdictRow, ...]]:
    rows = session.scalars(
        select(TaskVerdict)
        .where(TaskVerdict.run_id.in_(run_ids))
        .order_by(TaskVerdict.run_id, TaskVerdict.task_version_id)
        .options(selectinload(TaskVerdict.task_version).selectinload(TaskVersion.task))
    )
    found: dict[str, list[VerdictRow]] = {}
    for row in rows:
        found.setdefault(row.run_id, []).append(
            VerdictRow(
                task=row.task_version.task.name,
                version=row.task_version.number,
                verdict=row.verdict,
                score=row.score,
                operating_point=row.operating_point,
                p_value=row.p_value,
                read_in_run_id=row.read_in_run_id,
                findings=findings_from_json(row.findings),
                extrapolated=(
                    row.p_value is not None and row.p_value < 1 / (row.task_version.k + 1)
                ),
            )
        )
    return {run_id: tuple(verdicts) for run_id, verdicts in found.items()}


def _run_details(session: Session, run: Run, verdicts: tuple[VerdictRow, ...]) -> RunDetails:
    frames = session.execute(
        select(ImageScore.score.is_not(None), ImageScore.skipped, func.count())
        .where(ImageScore.run_id == run.id)
        .group_by(ImageScore.score.is_not(None), ImageScore.skipped)
    )
    scored, skipped = 0, Counter[str]()
    for has_score, reason, count in frames:
        scored += count if has_score else 0
        if reason:
            skipped[reason] += count
    for content in run.revision.unread or ():
        skipped[content["reason"]] += content["frames"]
    return RunDetails(
        run_id=run.id,
        revision=run.revision.number,
        set_aside=run.revision.set_aside,
        state=run.state,
        reason=run.reason,
        created_at=run.created_at,
        finished_at=run.finished_at,
        verdicts=verdicts,
        scored=scored,
        skipped=tuple(sorted(skipped.items())),
        results=tuple(_result_row(result) for result in run.results),
    )


def _result_row(result: ResultFile) -> ResultRow:
    return ResultRow(
        kind=result.kind,
        sop_uid=result.sop_instance_uid,
        path=result.path,
        deliveries=tuple(
            DeliveryRow(
                destination=delivery.destination,
                state=delivery.state,
                attempts=delivery.attempts,
                status=delivery.status,
                comment=delivery.comment,
                updated_at=delivery.updated_at,
            )
            for delivery in result.deliveries
        ),
    )
