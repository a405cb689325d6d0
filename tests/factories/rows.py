"""Database rows that others refer to, for tests that need no detector."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mediclip_dicom.database import Task, TaskVersion, TaskVersionState

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def task_version(session: Session) -> TaskVersion:
    """The one task version, made if missing; its weights are none."""
    found = session.scalar(select(TaskVersion))
    if found is None:
        found = TaskVersion(
            task=Task(name="none", modality="MR", created_at=NOW),
            number=1,
            uid="0" * 64,
            state=TaskVersionState.RETIRED,
            preset="default",
            backbone="none",
            backbone_sha256="0" * 64,
            weights=b"",
            weights_sha256="0" * 64,
            seed=0,
            k=4,
            false_positive_rate=0.05,
            normal_scores=[],
            created_at=NOW,
        )
        session.add(found)
        session.flush()
    return found
