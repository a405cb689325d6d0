"""Listener role: receives studies, in one process or in several."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError

from listener import Lifecycle, RepeatingTimer
from mediclip_dicom.engine import EngineClient
from mediclip_dicom.errors import DatabaseError
from mediclip_dicom.node.listener_processes import ListenerProcesses
from mediclip_dicom.node.reception import Reception, commitment_provider
from mediclip_dicom.studies import open_spool, reason_of, unread_studies

if TYPE_CHECKING:
    from mediclip_dicom.database import Sessions
    from mediclip_dicom.node.metrics import ListenerStatus
    from mediclip_dicom.settings import Settings
    from mediclip_dicom.studies import UnreadStudy

log = structlog.get_logger()

RESUME_EVERY_S = 10.0


class ListenerRole(Lifecycle):
    """Reception of studies, in this process or in several; it takes up unread ones at the start.

    It opens no backbone and runs no workflow.

    Args:
        settings: the configuration.
        sessions: of the application's database.

    Raises:
        DatabaseError: this Python's SQLite can't serve the workflow database.
    """

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._engine = EngineClient(settings)
        self.spool = open_spool(settings)
        # A report that a peer does not take is sent again by one process, whichever was asked.
        self._commitment = commitment_provider(settings, self.spool)
        self._unread = threading.Event()
        self._resuming = RepeatingTimer(
            self._resume_unread, name="unread-studies", every_s=RESUME_EVERY_S
        )
        self._receiver: Reception | ListenerProcesses
        if settings.node.processes == 1:
            self._receiver = Reception(settings, sessions, self.spool, self._engine)
        else:
            self._receiver = ListenerProcesses(
                settings, self.spool, on_process_end=self._unread.set
            )

    @property
    def status(self) -> ListenerStatus:
        """Ports, counts and state of the listener."""
        return (
            self._receiver if isinstance(self._receiver, ListenerProcesses) else self._receiver.scp
        )

    def start(self) -> None:
        """Have unread studies gathered, then listen.

        Raises:
            NodeStartError: the port or the certificates can't be used.
        """
        self._unread.set()
        self._resume_unread()
        self._resuming.start()
        self._commitment.start()
        self._receiver.start()

    def stop(self) -> None:
        """Stop listening, then report what has arrived."""
        self._receiver.stop()
        self._commitment.stop()
        self._resuming.stop()
        self._engine.close()
        self.spool.close()

    def _resume_unread(self) -> None:
        """Report every unread study to the engine, if a crash may have left any."""
        if not self._unread.is_set():
            return
        self._unread.clear()
        try:
            for study in unread_studies(self._sessions, self.spool):
                log.info("study.resumed", study_uid=study.study_uid)
                self._engine.study_changed(study.study_uid, quiet_s=self._rest_of_quiet(study))
        except (DatabaseError, SQLAlchemyError) as error:
            self._unread.set()
            log.warning("studies.not_resumed", reason=reason_of(error), again_s=RESUME_EVERY_S)

    def _rest_of_quiet(self, study: UnreadStudy) -> float:
        """Return the seconds that are left of a study's quiet period; it ran while we did not."""
        quiet_s = self._settings.gathering.quiet_period_s
        quiet_until = study.last_received_at + timedelta(seconds=quiet_s)
        left_s = (quiet_until - datetime.now(UTC)).total_seconds()
        return min(
            max(left_s, 0.0), quiet_s
        )  # a clock that was set back makes no study wait longer
