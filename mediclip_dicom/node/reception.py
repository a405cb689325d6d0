"""Reception of studies in one process: Storage SCP, arrivals, and the requests to the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from listener import Arrivals, CommitmentProvider, Lifecycle, StorageSCP
from listener.errors import SubscriberError, TLSError
from mediclip_dicom.delivery import Confirming, FindableResults, listener_settings, report_address
from mediclip_dicom.errors import DatabaseError, NodeStartError
from mediclip_dicom.studies import Completion

if TYPE_CHECKING:
    from listener import AssociationEnd, Spool, StudyActivity
    from mediclip_dicom.database import Sessions
    from mediclip_dicom.engine import EngineClient
    from mediclip_dicom.node.port_share import PortShare
    from mediclip_dicom.settings import Settings

log = structlog.get_logger()


class Reception(Lifecycle):
    """Storage SCP in front of the spool, which reports every arriving study to the engine.

    Args:
        settings: the configuration.
        sessions: of the application's database.
        spool: where instances become durable.
        engine: takes the requests; an answer to a sender never waits for it.
        share: ports, limits and counts in common with other processes; None: there are none.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        spool: Spool,
        engine: EngineClient,
        *,
        share: PortShare | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._completion = Completion(settings)
        self._arrivals = Arrivals(
            self._on_activity,
            # A report per study and half quiet period is enough to keep its gathering waiting.
            min_interval_s=self._completion.shortest_s / 2,
            on_association_end=self._on_association_end,
        )
        chosen = listener_settings(settings)
        self.scp = StorageSCP(
            chosen if share is None else share.applied_to(chosen),
            spool,
            on_stored=self._arrivals.stored,
            on_association_end=self._arrivals.association_ended,
            commitment=commitment_provider(settings, spool),
            on_commitment=Confirming(settings, sessions).note_report,
            findable=FindableResults(settings),
            shared=None if share is None else share.limits,
            counts=None if share is None else share.counts,
        )

    def start(self) -> None:
        """Listen.

        Raises:
            NodeStartError: the port or the certificates can't be used.
        """
        self._arrivals.start()
        node = self._settings.node
        try:
            self.scp.start()
        except OSError as error:
            raise port_error(error, host=node.host, port=node.port) from error
        except TLSError as error:
            raise NodeStartError(f"{error}; see [tls]") from error

    def stop(self) -> None:
        """Stop listening, then report what has arrived."""
        self.scp.stop()
        self._arrivals.stop()

    def _on_activity(self, activity: StudyActivity) -> None:
        self._report(activity.study_instance_uid, self._completion.wait_after_s(activity))
        log.info(
            "study.arriving",
            study_uid=activity.study_instance_uid,
            instances=activity.instances,
        )

    def _on_association_end(self, end: AssociationEnd) -> None:
        quiet_s = self._completion.wait_after_end_s(end)
        if quiet_s is not None:
            for study in end.study_instance_uids:
                self._report(study, quiet_s)

    def _report(self, study_uid: str, quiet_s: float) -> None:
        try:
            self._engine.study_changed(study_uid, quiet_s=quiet_s)
        except DatabaseError as error:  # the worker has not made it yet, or it is away
            raise SubscriberError(str(error)) from error


def commitment_provider(settings: Settings, spool: Spool) -> CommitmentProvider:
    """Make the provider of storage commitment for what the spool holds."""
    return CommitmentProvider(spool, report_address=lambda name: report_address(settings, name))


def port_error(error: OSError, *, host: str, port: int) -> NodeStartError:
    """Say which address can't be listened at, and what to do."""
    return NodeStartError(
        f"can't listen at {host}:{port}: {error.strerror or error}. Stop what uses the port, a "
        "second node perhaps, or set [node] host and port"
    )
