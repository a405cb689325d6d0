"""What waits, for what, and since when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from mediclip_dicom.database import Delivery, DeliveryState, Run, RunState

WAITING_RUNS = (RunState.QUEUED, RunState.SCORING, RunState.WRITING)
OPEN_DELIVERIES = (DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.CANCELLED)


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """A study run that is not written yet."""

    run_id: str
    study_instance_uid: str
    state: RunState
    since: datetime


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """Result objects of one run that a destination has not taken, or not confirmed.

    Attributes:
        objects: how many.
        attempts: of the object that was tried most often.
        comment: what the destination said, or why it was not reached.
    """

    run_id: str
    study_instance_uid: str
    destination: str
    state: DeliveryState
    objects: int
    attempts: int
    since: datetime
    comment: str


def waiting_runs(session: Session) -> list[WaitingRun]:
    """The runs that are not written yet, the oldest first."""
    return [
        WaitingRun(run.id, run.revision.study.study_instance_uid, run.state, run.created_at)
        for run in session.scalars(
            select(Run).where(Run.state.in_(WAITING_RUNS)).order_by(Run.created_at)
        )
    ]


def open_deliveries(session: Session, *, confirming: Sequence[str] = ()) -> list[OpenDelivery]:
    """The deliveries that are not done, the oldest first.

    Args:
        session: Of the database.
        confirming: Destinations for which delivered is not done, but confirmed.
    """
    rows = session.scalars(
        select(Delivery).where(
            Delivery.state.in_(OPEN_DELIVERIES)
            | (
                (Delivery.state == DeliveryState.DELIVERED)
                & Delivery.destination.in_(list(confirming))
            )
        )
    )
    groups: dict[tuple[str, str, DeliveryState], list[Delivery]] = {}
    for row in rows:
        groups.setdefault((row.result.run_id, row.destination, row.state), []).append(row)
    found = [
        OpenDelivery(
            run_id=run_id,
            study_instance_uid=group[0].result.run.revision.study.study_instance_uid,
            destination=destination,
            state=state,
            objects=len(group),
            attempts=max(row.attempts for row in group),
            since=min(row.result.run.created_at for row in group),
            comment=next((row.comment for row in group if row.comment), ""),
        )
        for (run_id, destination, state), group in groups.items()
    ]
    return sorted(found, key=lambda delivery: (delivery.since, delivery.run_id))
