"""Detectors of task versions, loaded from the database onto one backbone."""

import threading
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, CorruptDetectorError, Detector, load_backbone
from ai_core.backbone import keep_freed_memory
from mediclip_dicom.database import TaskVersion, TaskVersionState
from mediclip_dicom.settings import BackboneSettings
from mediclip_dicom.tasks.versions import active_tasks


def open_backbone(settings: BackboneSettings) -> Backbone:
    """Load the configured backbone in a process that is going to fit or score.

    From here on the process keeps the memory that it frees.

    Raises:
        ai_core.BackboneUnavailableError: its weights can't be had; the message says what to do.
    """
    keep_freed_memory()
    return load_backbone(
        settings.model,
        settings.weights,
        device=settings.device,
        cache_dir=settings.cache_dir,
        blocks=settings.blocks,
        precision=settings.precision,
        tag=settings.tag or None,
    )


class DetectorStore:
    """Detectors of the database on one backbone, each loaded once."""

    def __init__(self, sessions: sessionmaker[Session], backbone: Backbone) -> None:
        self._sessions = sessions
        self._backbone = backbone
        self._detectors: dict[int, Detector] = {}
        self._lock = threading.Lock()

    @property
    def backbone(self) -> Backbone:
        """Frozen model below all detectors."""
        return self._backbone

    def get(self, version_id: int) -> Detector:
        """Return the detector of a task version.

        Raises:
            ai_core.WeightsMismatchError: it was fitted on another backbone.
            ai_core.CorruptDetectorError: the stored weights are damaged.
        """
        with self._lock:
            if version_id not in self._detectors:
                self._detectors[version_id] = self._load(version_id)
            return self._detectors[version_id]

    def load_active(self) -> None:
        """Load the detectors of all active task versions, so that an unfit one is reported now.

        Raises:
            ai_core.WeightsMismatchError, ai_core.CorruptDetectorError: as `get`.
        """
        with self._sessions() as session:
            version_ids = [task.version_id for task in active_tasks(session)]
        for version_id in version_ids:
            self.get(version_id)

    def _load(self, version_id: int) -> Detector:
        with self._sessions() as session:
            version = session.get_one(TaskVersion, version_id)
            name, number, digest = version.task.name, version.number, version.weights_sha256
            detector = Detector.from_bytes(version.weights, backbone=self._backbone)
        if detector.sha256 != digest:
            raise CorruptDetectorError(
                f"the weights of task {name} version {number} are not those that were registered; "
                "restore the database from a backup, or register the task again"
            )
        return detector


def incompatible_versions(session: Session, backbone: Backbone) -> Sequence[str]:
    """List active task versions of another backbone, as "name version n (backbone)"."""
    versions = session.scalars(
        select(TaskVersion).where(
            TaskVersion.state == TaskVersionState.ACTIVE,
            TaskVersion.backbone_sha256 != backbone.sha256,
        )
    )
    return [f"{v.task.name} version {v.number} ({v.backbone})" for v in versions]
