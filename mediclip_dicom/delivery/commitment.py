"""Storage commitment: from delivered to confirmed."""

from datetime import UTC, datetime

import structlog
from pydicom.uid import generate_uid
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import CommitmentReport, ListenerError, SOPReference, request_commitment
from mediclip_dicom.database import Delivery, DeliveryState, ResultFile
from mediclip_dicom.delivery.peers import destination_peer
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import logged_as

log = structlog.get_logger()


class Confirming:
    """Steps that request storage commitment and record its reports; each may run twice."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self._settings = settings
        self._sessions = sessions

    def ask(self, run_id: str, destination_name: str) -> None:
        """Request storage commitment for a run, if the destination is configured for it.

        Raises:
            listener.ListenerError: It can't be asked now, or does not take the question.
        """
        destination = self._settings.destination(destination_name)
        if not destination.commitment:
            return
        with self._sessions.begin() as session:
            delivered = self._delivered(session, run_id, destination_name)
            # Written down before it is asked: the report may come while the answer is on its way.
            transaction_uid = next(
                (d.transaction_uid for d in delivered if d.transaction_uid), str(generate_uid())
            )
            for delivery in delivered:
                delivery.transaction_uid = transaction_uid
            references = [
                SOPReference(delivery.result.sop_class_uid, delivery.sop_instance_uid)
                for delivery in delivered
            ]
        if not references:
            return
        # Said before it is asked, for the same reason.
        log.info("commitment.asked", destination=destination_name, objects=len(references))
        try:
            report = request_commitment(
                destination_peer(self._settings, destination),
                references,
                transaction_uid=transaction_uid,
            )
        except ListenerError as error:
            self._comment(run_id, destination_name, f"not asked for commitment: {error}")
            raise
        if report is not None:
            self.note_report(report)

    def note_report(self, report: CommitmentReport) -> None:
        """Record a commitment report; references that were never requested are ignored."""
        committed = {reference.sop_instance_uid for reference in report.committed}
        reasons = {reference.sop_instance_uid: reason for reference, reason in report.failed}
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            asked = session.scalars(
                select(Delivery).where(
                    Delivery.transaction_uid == report.transaction_uid,
                    Delivery.state == DeliveryState.DELIVERED,
                )
            ).all()
            for delivery in asked:
                uid = delivery.sop_instance_uid
                if uid in committed:
                    delivery.state, delivery.comment = DeliveryState.CONFIRMED, None
                elif uid in reasons:
                    delivery.state = DeliveryState.FAILED
                    delivery.comment = f"not committed by the destination ({reasons[uid]:04X}H)"
                delivery.updated_at = now
            about = {(delivery.result.run_id, delivery.destination) for delivery in asked}
        log.info(
            "commitment.reported",
            transaction_uid=report.transaction_uid,
            asked=len(asked),
            committed=len(committed),
            failed=len(reasons),
        )
        for run_id, destination in sorted(about):
            with logged_as(self._sessions, run_id):
                log.info(
                    "results.confirmed" if not reasons else "results.unconfirmed",
                    destination=destination,
                    transaction_uid=report.transaction_uid,
                )

    def _delivered(self, session: Session, run_id: str, destination: str) -> list[Delivery]:
        return list(
            session.scalars(
                select(Delivery)
                .join(ResultFile)
                .where(
                    ResultFile.run_id == run_id,
                    Delivery.destination == destination,
                    Delivery.state == DeliveryState.DELIVERED,
                )
            )
        )

    def _comment(self, run_id: str, destination: str, text: str) -> None:
        with self._sessions.begin() as session:
            for delivery in self._delivered(session, run_id, destination):
                delivery.comment = text[:512]
