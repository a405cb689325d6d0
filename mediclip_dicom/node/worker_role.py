"""Worker role: gathers and scores studies, and delivers the results."""

import structlog

from ai_core import Backbone
from listener import Lifecycle
from mediclip_dicom.database import Sessions
from mediclip_dicom.delivery import Confirming, Delivering
from mediclip_dicom.engine import WorkflowEngine
from mediclip_dicom.errors import TaskError
from mediclip_dicom.node.roles import RoleHold
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring, open_spool
from mediclip_dicom.tasks import DetectorStore, incompatible_versions, open_backbone

log = structlog.get_logger()


class WorkerRole(Lifecycle):
    """Workflows of studies, with the detectors and the backbone below them.

    Args:
        settings: the configuration.
        sessions: of the application's database.
        hold: this process's hold of the role.
        backbone: one that is loaded already; None loads the one that the configuration names.

    Raises:
        TaskError: a task was fitted on another backbone.
        ai_core.DetectorError: the backbone can't be had.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        hold: RoleHold,
        *,
        backbone: Backbone | None = None,
    ) -> None:
        self._hold = hold
        backbone = backbone or open_backbone(settings.backbone)
        with sessions() as session:
            if incompatible := incompatible_versions(session, backbone):
                raise TaskError(
                    f"the backbone {settings.backbone.model} ({settings.backbone.weights}) did not "
                    f"fit these tasks: {'; '.join(incompatible)}. Set [backbone] to the one that "
                    "fitted them, or register them again, or retire them"
                )
        detectors = DetectorStore(sessions, backbone)
        detectors.load_active()
        self._spool = open_spool(settings)
        self._engine = WorkflowEngine(
            settings,
            sessions,
            executor_id=hold.executor_id,
            predecessors=hold.predecessors,
            intake=Intake(settings, sessions, self._spool),
            scoring=Scoring(settings, sessions, detectors),
            delivering=Delivering(settings, sessions),
            confirming=Confirming(settings, sessions),
        )

    def start(self) -> None:
        """Start the workflows; those that a dead predecessor left go on where they were.

        Raises:
            DatabaseError: the workflow database can't be used.
        """
        self._engine.start()
        self._hold.forget_predecessors()

    def stop(self) -> None:
        """Stop taking up work; a step that does not end soon runs again at the next start."""
        self._engine.stop()
        self._spool.close()
