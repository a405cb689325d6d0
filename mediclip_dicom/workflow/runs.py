"""What the steps share about a study run."""

from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import Run, RunState, StudyRevision

log = structlog.get_logger()


def instance_paths(revision: StudyRevision, spool_root: Path) -> dict[str, Path]:
    """Where the instances of a revision lie, by SOP Instance UID."""
    return {i.sop_instance_uid: spool_root / i.path for i in revision.instances}


def set_state(sessions: sessionmaker[Session], run_id: str, state: RunState) -> None:
    """Write down how far a run has come."""
    with sessions.begin() as session:
        run = session.get_one(Run, run_id)
        run.state = state
        if state is RunState.DONE:
            run.finished_at = datetime.now(UTC)


def fail(sessions: sessionmaker[Session], run_id: str, reason: str) -> None:
    """Mark a run that can't be completed, for an administrator to see."""
    log.error("study run failed", run=run_id, reason=reason)
    with sessions.begin() as session:
        run = session.get_one(Run, run_id)
        run.state, run.reason = RunState.FAILED, reason[:1024]
        run.finished_at = datetime.now(UTC)
