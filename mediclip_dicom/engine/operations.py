"""Operations that an administrator asks for: analyse now, deliver again, give up."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.database import Delivery, DeliveryState, ResultFile, Run, RunState
from mediclip_dicom.engine.client import EngineClient
from mediclip_dicom.errors import DeliveryNotFoundError, StudyNotFoundError
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import OPEN_DELIVERIES, OpenDelivery, open_deliveries


def complete_now(settings: Settings, study_uid: str) -> None:
    """Gather and analyse a study without waiting for more of it; the node does it when it runs.

    Raises:
        StudyNotFoundError: the spool holds no instance of the study.
        DatabaseError: the workflow database can't be used.
    """
    with Spool(settings.storage.spool) as spool:
        if not spool.instances(study_uid):
            raise StudyNotFoundError(f"the node has received nothing of study {study_uid}")
    with EngineClient(settings) as engine:
        engine.complete_study(study_uid)


def retry(
    settings: Settings, sessions: sessionmaker[Session], *, run: str, destination: str
) -> OpenDelivery:
    """Deliver what failed, was cancelled or still waits, now and with all attempts again.

    Args:
        settings: of the node.
        sessions: of its database.
        run: id of the run, or its beginning.
        destination: name of the destination.

    Raises:
        DeliveryNotFoundError: nothing of such a run is open for this destination.
        NodeError: there is no such destination, or the workflow database can't be used.
    """
    settings.destination(destination)
    found = _change_state(
        sessions,
        run=run,
        destination=destination,
        states=OPEN_DELIVERIES,
        new=DeliveryState.PENDING,
    )
    with sessions.begin() as session:
        row = session.get_one(Run, found.run_id)
        row.state, row.reason, row.finished_at = RunState.DELIVERING, None, None
    with EngineClient(settings) as engine:
        engine.deliver_again(found.run_id, destination)
    return found


def cancel(
    settings: Settings, sessions: sessionmaker[Session], *, run: str, destination: str
) -> OpenDelivery:
    """Stop trying to deliver; what was taken stays delivered.

    Args:
        settings: of the node.
        sessions: of its database.
        run: id of the run, or its beginning.
        destination: name of the destination.

    Raises:
        DeliveryNotFoundError: nothing of such a run waits for this destination.
        DatabaseError: the workflow database can't be used.
    """
    waiting = (DeliveryState.PENDING, DeliveryState.FAILED)
    found = _change_state(
        sessions,
        run=run,
        destination=destination,
        states=waiting,
        new=DeliveryState.CANCELLED,
    )
    with EngineClient(settings) as engine:
        engine.cancel_delivery(found.run_id, destination)
    with sessions.begin() as session:
        row = session.get_one(Run, found.run_id)
        states = {d.state for result in row.results for d in result.deliveries}
        if DeliveryState.PENDING not in states:
            row.state, row.reason = RunState.FAILED, "a delivery was cancelled"
            row.finished_at = datetime.now(UTC)
    return found


def _change_state(
    sessions: sessionmaker[Session],
    *,
    run: str,
    destination: str,
    states: tuple[DeliveryState, ...],
    new: DeliveryState,
) -> OpenDelivery:
    """Give the open deliveries of one run to one destination another state."""
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
