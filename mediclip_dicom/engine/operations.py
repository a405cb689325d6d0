"""Operations that an administrator asks for: analyse now, deliver again, give up."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import Delivery, DeliveryState, ResultFile, Run, RunState
from mediclip_dicom.delivery.queue import OPEN_DELIVERIES, OpenDelivery, open_deliveries
from mediclip_dicom.engine.client import cancel_delivery, deliver_again
from mediclip_dicom.errors import DeliveryNotFoundError
from mediclip_dicom.settings import Settings


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
