"""State of study runs, and their names in the log."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ai_core import DetectorError
from listener import ListenerError
from mediclip_dicom.database import Run, RunState, Study, StudyRevision
from mediclip_dicom.errors import NodeError

log = structlog.get_logger()


@contextmanager
def logged_as(sessions: sessionmaker[Session], run_id: str) -> Iterator[None]:
    """Bind the run and its study to every event within."""
    try:
        with sessions() as session:
            study = session.scalar(
                select(Study.study_instance_uid)
                .join(Study.revisions)
                .join(StudyRevision.runs)
                .where(Run.id == run_id)
            )
    except SQLAlchemyError:  # no reason not to work: the steps try again
        study = None
    with structlog.contextvars.bound_contextvars(run_id=run_id, study_uid=study):
        yield


def set_run_state(sessions: sessionmaker[Session], run_id: str, state: RunState) -> None:
    """Record the state of a run."""
    with sessions.begin() as session:
        run = session.get_one(Run, run_id)
        run.state = state
        if state is RunState.DONE:
            run.finished_at = datetime.now(UTC)


def mark_failed(sessions: sessionmaker[Session], run_id: str, error: Exception) -> None:
    """Mark a run as failed, with the reason for an administrator."""
    log.error("run.failed", reason=reason_of(error))
    with sessions.begin() as session:
        run = session.get_one(Run, run_id)
        run.state, run.reason = RunState.FAILED, f"{type(error).__name__}: {error}"[:1024]
        run.finished_at = datetime.now(UTC)


def reason_of(error: BaseException) -> str:
    """Describe an error for the log: our own words, but only the kind of a foreign error.

    Their words may quote what they failed on, and that may be a patient's.
    """
    if isinstance(error, NodeError | ListenerError | DetectorError):
        return str(error)
    kind = type(error).__name__
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) else kind
