"""The node as a whole: started and stopped in an order that loses nothing."""

from collections.abc import Callable

import structlog

from ai_core import Backbone, load_backbone
from ai_core.backbone.malloc import keep_freed_memory
from listener import (
    Arrivals,
    AssociationEnd,
    CommitmentProvider,
    CommitmentReport,
    Lifecycle,
    Spool,
    StorageSCP,
    StudyActivity,
    newest,
    oldest,
)
from listener.errors import TLSError
from mediclip_dicom.database import open_database
from mediclip_dicom.delivery.c_find import FindableResults
from mediclip_dicom.delivery.commitment import Confirming
from mediclip_dicom.delivery.peers import call_back, listener_settings
from mediclip_dicom.delivery.sending import Delivering
from mediclip_dicom.engine.workflows import WorkflowEngine
from mediclip_dicom.errors import NodeStartError, TaskError
from mediclip_dicom.node.monitoring import Monitor
from mediclip_dicom.settings.settings import BackboneSettings, Settings
from mediclip_dicom.studies.completion import Completion
from mediclip_dicom.studies.intake import Intake
from mediclip_dicom.studies.retention import Retention
from mediclip_dicom.studies.scoring import Scoring
from mediclip_dicom.tasks.versions import DetectorStore, versions_of_another_backbone

log = structlog.get_logger()


def open_backbone(settings: BackboneSettings) -> Backbone:
    """The backbone that the configuration names, for a process that is going to fit or score.

    From here on the process keeps the memory that it frees.

    Raises:
        ai_core.BackboneUnavailableError: Its weights can't be had; the message says what to do.
    """
    keep_freed_memory()
    return load_backbone(
        settings.model,
        settings.weights,
        device=settings.device,
        cache_dir=settings.cache_dir,
        blocks=settings.blocks,
        precision=settings.precision,
    )


class Node(Lifecycle):
    """The running node: a Storage SCP in front, the workflows of studies behind it.

    Nothing is received before everything that handles it runs; at the end receiving stops first.
    """

    def __init__(self, settings: Settings, *, backbone: Backbone | None = None) -> None:
        """Open the storage, the database and the backbone.

        Args:
            settings: The configuration.
            backbone: One that is loaded already; None loads what the configuration names.

        Raises:
            NodeError: The database or a task can't be used.
            ai_core.DetectorError: The backbone can't be had.
        """
        self._settings = settings
        sessions = open_database(settings.database_url)
        backbone = backbone or open_backbone(settings.backbone)
        with sessions() as session:
            if strangers := versions_of_another_backbone(session, backbone):
                raise TaskError(
                    f"the backbone {settings.backbone.model} ({settings.backbone.weights}) did not "
                    f"fit these tasks: {'; '.join(strangers)}. Set [backbone] to what fitted them, "
                    "or register them again, or retire them"
                )
        detectors = DetectorStore(sessions, backbone)
        detectors.load_active()
        self._completion = Completion(settings)
        self._spool = Spool(
            settings.storage.spool,
            choose_current=newest if settings.gathering.same_uid == "replace" else oldest,
        )
        self._engine = WorkflowEngine(
            settings,
            sessions,
            intake=Intake(settings, sessions, self._spool),
            scoring=Scoring(settings, sessions, detectors),
            delivering=Delivering(settings, sessions),
            confirming=Confirming(settings, sessions),
        )
        self._commitment = CommitmentProvider(
            self._spool, report_address=lambda name: call_back(settings, name)
        )
        self._retention = Retention(settings, sessions, self._spool)
        # A report per study and half quiet period is enough to keep its gathering waiting.
        self._arrivals = Arrivals(
            self._on_activity,
            min_interval_s=self._completion.shortest_s / 2,
            on_association_end=self._on_association_end,
        )
        self._scp = self._receiver(on_commitment=Confirming(settings, sessions).note_report)

        self._monitor = Monitor(
            settings.monitoring, scp=self._scp, spool=self._spool, sessions=sessions
        )

    @property
    def port(self) -> int:
        """The TCP port that the node listens on; that for TLS where there is no other."""
        return self._scp.tls_port if self._settings.tls.only else self._scp.port

    def start(self) -> None:
        """Start the workflows, pick up what was left, then listen.

        Raises:
            NodeError: The workflow database or the port can't be used; nothing is left running.
        """
        node = self._settings.node
        try:
            self._engine.start()
            self._engine.resume_unread()
            self._arrivals.start()
            self._retention.start()
            self._commitment.start()
            self._listen()
            self._open_monitor()
        except BaseException:
            self.stop()
            raise
        log.info("node listens", ae_title=node.ae_title, host=node.host, port=self.port)

    def stop(self) -> None:
        """Stop listening, hand over what has arrived, then stop the workflows."""
        self._monitor.stop()
        self._scp.stop()
        self._arrivals.stop()
        self._retention.stop()
        self._commitment.stop()
        self._engine.stop()
        self._spool.close()
        log.info("node stopped")

    def _receiver(self, *, on_commitment: Callable[[CommitmentReport], None]) -> StorageSCP:
        settings = listener_settings(self._settings)
        findable = FindableResults(self._settings)
        return StorageSCP(
            settings,
            self._spool,
            on_stored=self._arrivals.stored,
            on_association_end=self._arrivals.association_ended,
            commitment=self._commitment,
            on_commitment=on_commitment,
            findable=findable,
        )

    def _listen(self) -> None:
        node = self._settings.node
        try:
            self._scp.start()
        except OSError as error:
            raise NodeStartError(
                f"can't listen at {node.host}:{node.port}: {error.strerror or error}. Stop what "
                "uses the port, a second node perhaps, or set [node] host and port"
            ) from error
        except TLSError as error:
            raise NodeStartError(f"{error}; see [tls]") from error

    def _open_monitor(self) -> None:
        monitoring = self._settings.monitoring
        try:
            self._monitor.start()
        except OSError as error:
            raise NodeStartError(
                f"can't listen at {monitoring.host}:{monitoring.port}: {error.strerror or error}; "
                "see [monitoring] host and port"
            ) from error

    def _on_activity(self, activity: StudyActivity) -> None:
        log.info("study arriving", study=activity.study_instance_uid, instances=activity.instances)
        self._engine.study_changed(
            activity.study_instance_uid, quiet_s=self._completion.wait_after_s(activity)
        )

    def _on_association_end(self, end: AssociationEnd) -> None:
        quiet_s = self._completion.wait_after_end_s(end)
        if quiet_s is not None:
            for study in end.study_instance_uids:
                self._engine.study_changed(study, quiet_s=quiet_s)
