"""What waits, for what, and since when; and what an administrator does about a delivery."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import Delivery, DeliveryState, ResultFile, Run, RunState
from mediclip_dicom.engine.client import cancel_delivery, deliver_again
from mediclip_dicom.errors import DeliveryNotFoundError
from mediclip_dicom.settings.settings import Settings

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


def retry(
    settings: Settings, sessions: sessionmaker[Session], run: str, destination: str
) -> OpenDelivery:
    """Deliver what failed, was cancelled or still waits, now and with all attempts again.

    Raises:
        DeliveryNotFoundError: Nothing of such a run is open for this destination.
        NodeError: There is no such destination, or the workflow database can't be used.
    """
    settings.destination(destination)
    found = _set(sessions, run, destination, OPEN_DELIVERIES, DeliveryState.PENDING)
    with sessions.begin() as session:
        row = session.get_one(Run, found.run_id)
        row.state, row.reason, row.finished_at = RunState.DELIVERING, None, None
    deliver_again(settings, found.run_id, destination)
    return found


def cancel(
    settings: Settings, sessions: sessionmaker[Session], run: str, destination: str
) -> OpenDelivery:
    """Stop trying to deliver; what was taken stays delivered.

    Raises:
        DeliveryNotFoundError: Nothing of such a run waits for this destination.
        DatabaseError: The workflow database can't be used.
    """
    waiting = (DeliveryState.PENDING, DeliveryState.FAILED)
    found = _set(sessions, run, destination, waiting, DeliveryState.CANCELLED)
    cancel_delivery(settings, found.run_id, destination)
    with sessions.begin() as session:
        row = session.get_one(Run, found.run_id)
        states = {d.state for result in row.results for d in result.deliveries}
        if DeliveryState.PENDING not in states:
            row.state, row.reason = RunState.FAILED, "a delivery was cancelled"
            row.finished_at = datetime.now(UTC)
    return found


def _set(
    sessions: sessionmaker[Session],
    run: str,
    destination: str,
    states: tuple[DeliveryState, ...],
    new: DeliveryState,
) -> OpenDelivery:
    with sessions.begin() as session:
        found = [
            delivery
            for delivery in open_deliveries(session)
            if delivery.run_id.startswith(run)
            and delivery.destination == destination
            and delivery.state in states
        ]
        ids = {delivery.run_id for delivery in found}
        if not run or len(ids) != 1:
            problem = "more than one run begins" if len(ids) > 1 else "no open delivery of a run"
            raise DeliveryNotFoundError(
                f"{problem} with {run!r} for destination {destination}; see mediclip-dicom queue"
            )
        rows = session.scalars(
            select(Delivery)
            .join(ResultFile)
            .where(
                ResultFile.run_id == found[0].run_id,
                Delivery.destination == destination,
                Delivery.state.in_(states),
            )
        )
        for row in rows:
            row.state, row.updated_at = new, datetime.now(UTC)
        return found[0]
