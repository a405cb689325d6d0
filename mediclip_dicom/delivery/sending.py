"""Sending of result objects to destinations."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import ListenerError, StoreCategory, StoreOutcome, Substitutes
from listener.errors import NoPresentationContextError
from mediclip_dicom.database import Delivery, DeliveryState, ResultFile, Run, RunState
from mediclip_dicom.delivery.destinations import open_destination
from mediclip_dicom.errors import ConfigError, DeliveryError
from mediclip_dicom.results import (
    COMPREHENSIVE_3D_SR,
    OTHER_REPORT_KINDS,
    ResultObject,
    other_report,
    other_report_uids,
)
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import set_run_state

log = structlog.get_logger()


def is_transient(error: BaseException) -> bool:
    """Return whether the same attempt may succeed later without anybody acting on it."""
    if isinstance(error, DeliveryError):
        return not error.permanent
    return not isinstance(error, NoPresentationContextError | ConfigError)


def _has_other_report(session: Session, result: ResultFile, destination: str) -> bool:
    """Return whether a destination gets the report as another class already."""
    return result.sop_class_uid == COMPREHENSIVE_3D_SR and any(
        session.get(Delivery, (uid, destination)) is not None
        for uid in other_report_uids(result.sop_instance_uid).values()
    )


def _is_for_now(outcome: StoreOutcome) -> bool:
    """Return whether a status is out of resources or a processing failure (PS3.4 B.2.3)."""
    return outcome.status & 0xFF00 == 0xA700 or outcome.status == 0x0110


class Delivering:
    """Steps after the results are written; each may run twice and ends the same."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self._settings = settings
        self._sessions = sessions

    def plan_deliveries(self, run_id: str) -> list[str]:
        """Record the deliveries of a run; return the names of destinations that get any."""
        planned: list[str] = []
        with self._sessions.begin() as session:
            results = session.scalars(select(ResultFile).where(ResultFile.run_id == run_id)).all()
            for destination in self._settings.destinations:
                wanted = [result for result in results if result.kind in destination.results]
                for result in wanted:
                    if _has_other_report(session, result, destination.name):
                        continue
                    key = (result.sop_instance_uid, destination.name)
                    if session.get(Delivery, key) is None:
                        session.add(
                            Delivery(
                                sop_instance_uid=result.sop_instance_uid,
                                destination=destination.name,
                                state=DeliveryState.PENDING,
                                updated_at=datetime.now(UTC),
                            )
                        )
                if wanted:
                    planned.append(destination.name)
        set_run_state(self._sessions, run_id, RunState.DELIVERING if planned else RunState.DONE)
        return planned

    def deliver(self, run_id: str, destination_name: str) -> None:
        """Send the pending results of a run to a destination, over one association.

        Each answer is written down when it comes: where the association breaks, or we do, only
        what has no answer goes out again. A destination that accepts no Comprehensive 3D SR gets
        the report as another class; that is written down before it is sent, and stays so.

        Raises:
            listener.ListenerError: The destination can't be reached; nothing is given up.
            DeliveryError: It refused an object, for good or for now.
        """
        destination = open_destination(self._settings, destination_name)
        with self._sessions() as session:
            pending = {
                delivery.sop_instance_uid: self._settings.storage.results / delivery.result.path
                for delivery in session.scalars(
                    select(Delivery)
                    .join(ResultFile)
                    .where(
                        ResultFile.run_id == run_id,
                        Delivery.destination == destination_name,
                        Delivery.state == DeliveryState.PENDING,
                    )
                )
            }
        if not pending:
            return
        unanswered = set(pending)

        def note(outcome: StoreOutcome) -> None:
            self._note_answer(destination_name, outcome)
            unanswered.discard(outcome.sop_instance_uid)

        uids = {path: uid for uid, path in pending.items()}

        def choose(path: Path, accepted: frozenset[str]) -> Path:
            other = self._replace_report(destination_name, uids[path], path, accepted)
            unanswered.discard(uids[path])
            unanswered.add(other.sop_instance_uid)
            return other.path

        substitutes = Substitutes(str(COMPREHENSIVE_3D_SR), tuple(OTHER_REPORT_KINDS), choose)
        try:
            outcomes = destination.send(
                tuple(pending.values()), on_answer=note, substitutes=substitutes
            )
        except ListenerError as error:
            self._note_no_answer(destination_name, unanswered, str(error))
            raise
        refused = [outcome for outcome in outcomes if outcome.category is StoreCategory.REFUSED]
        if refused:
            raise DeliveryError(
                f"destination {destination_name} refused {len(refused)} of {len(outcomes)} objects "
                f"(status {refused[0].status:04X}H)",
                permanent=not any(_is_for_now(outcome) for outcome in refused),
            )
        log.info("results.delivered", destination=destination_name, objects=len(outcomes))

    def give_up_delivery(self, run_id: str, destination_name: str) -> None:
        """Mark the results that are still pending as failed, after the last attempt."""
        with self._sessions.begin() as session:
            for delivery in session.scalars(
                select(Delivery)
                .join(ResultFile)
                .where(
                    ResultFile.run_id == run_id,
                    Delivery.destination == destination_name,
                    Delivery.state == DeliveryState.PENDING,
                )
            ):
                delivery.state = DeliveryState.FAILED
                delivery.updated_at = datetime.now(UTC)

    def finish(self, run_id: str) -> None:
        """Mark the run as done once every delivery is delivered or given up."""
        with self._sessions.begin() as session:
            states = session.scalars(
                select(Delivery.state).join(ResultFile).where(ResultFile.run_id == run_id)
            ).all()
            run = session.get_one(Run, run_id)
            if DeliveryState.PENDING in states or run.state is RunState.DONE:
                return
            run.finished_at = datetime.now(UTC)
            if DeliveryState.FAILED in states or DeliveryState.CANCELLED in states:
                run.state, run.reason = RunState.FAILED, "a destination did not take every result"
            else:
                run.state = RunState.DONE

    def _replace_report(
        self, destination_name: str, uid: str, path: Path, accepted: frozenset[str]
    ) -> ResultObject:
        """Make a report of a class that the destination accepts, and plan it instead."""
        sop_class = next(one for one in OTHER_REPORT_KINDS if one in accepted)
        other = other_report(path, sop_class)
        with self._sessions.begin() as session:
            before = session.get_one(Delivery, (uid, destination_name))
            if session.get(ResultFile, other.sop_instance_uid) is None:
                session.add(
                    ResultFile(
                        sop_instance_uid=other.sop_instance_uid,
                        run_id=before.result.run_id,
                        task_version_id=before.result.task_version_id,
                        kind=OTHER_REPORT_KINDS[sop_class],
                        sop_class_uid=sop_class,
                        series_instance_uid=other.series_instance_uid,
                        path=str(Path(before.result.path).with_name(other.path.name)),
                        digest=other.sha256,
                    )
                )
                session.flush()
            session.add(
                Delivery(
                    sop_instance_uid=other.sop_instance_uid,
                    destination=destination_name,
                    state=DeliveryState.PENDING,
                    attempts=before.attempts,
                    updated_at=datetime.now(UTC),
                )
            )
            session.delete(before)
        log.info(
            "report.replaced",
            destination=destination_name,
            sop_uid=other.sop_instance_uid,
            kind=OTHER_REPORT_KINDS[sop_class],
            reason="the destination accepts no Comprehensive 3D SR",
        )
        return other

    def _note_answer(self, destination_name: str, outcome: StoreOutcome) -> None:
        with self._sessions.begin() as session:
            delivery = session.get_one(Delivery, (outcome.sop_instance_uid, destination_name))
            delivery.attempts += 1
            delivery.updated_at = datetime.now(UTC)
            delivery.status, delivery.comment = outcome.status, outcome.comment[:512] or None
            if outcome.category is not StoreCategory.REFUSED:
                delivery.state = DeliveryState.DELIVERED
            elif delivery.state is DeliveryState.PENDING and not _is_for_now(outcome):
                delivery.state = DeliveryState.FAILED
        if outcome.category is not StoreCategory.SUCCESS:
            log.warning(
                "object.answered",
                destination=destination_name,
                sop_uid=outcome.sop_instance_uid,
                answer=outcome.category.value,
                status=f"{outcome.status:04X}H",
            )

    def _note_no_answer(self, destination_name: str, uids: Iterable[str], comment: str) -> None:
        with self._sessions.begin() as session:
            for uid in uids:
                delivery = session.get_one(Delivery, (uid, destination_name))
                delivery.attempts += 1
                delivery.updated_at = datetime.now(UTC)
                delivery.comment = comment[:512]
