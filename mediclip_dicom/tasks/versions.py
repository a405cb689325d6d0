"""Tasks: named detector definitions, each with fitted and calibrated versions in the database."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import (
    Backbone,
    CorruptDetectorError,
    Detector,
    DetectorInfo,
    FitProgress,
    OperatingPoint,
    Preset,
    fit_calibrated,
)
from mediclip_dicom.database import SupportItem, Task, TaskVersion, TaskVersionState
from mediclip_dicom.errors import TaskError
from mediclip_dicom.imaging import Window
from mediclip_dicom.tasks.routing import Route
from mediclip_dicom.tasks.support import SupportSet, SupportStudy


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What an administrator says of a task: its name, the images it reads, its own window."""

    name: str
    route: Route
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """A task version that routing may choose."""

    version_id: int
    definition: TaskDefinition


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """What results say of a task version; see the columns of `TaskVersion`."""

    id: int
    uid: str
    number: int
    definition: TaskDefinition
    preset: str
    backbone: str
    backbone_sha256: str
    weights_sha256: str
    k: int
    operating_point: OperatingPoint


@dataclass(frozen=True, slots=True)
class Fitted:
    """A detector and the cross-fitted scores of the normals that it was fitted on."""

    detector: Detector
    operating_point: OperatingPoint


def fit_task(
    support: SupportSet,
    *,
    backbone: Backbone,
    preset: Preset,
    false_positive_rate: float,
    folds: int,
    seed: int,
    progress: Callable[[FitProgress], None] | None = None,
) -> Fitted:
    """Fit a detector on all normals, and calibrate it on scores of normals held out in turn.

    Raises:
        TaskError: Fewer than two normal studies.
        ai_core.DetectorError: The detector refuses the images.
    """
    if support.k < 2:
        raise TaskError(
            f"a task needs at least 2 normal studies, and {support.k} was given; name more"
        )
    fit = fit_calibrated(
        support.images,
        support.groups,
        backbone=backbone,
        preset=preset,
        folds=min(folds, support.k),
        generator=torch.Generator().manual_seed(seed),
        progress=progress,
        held_out=lambda study: _all_images(support.studies[study], backbone),
    )
    return Fitted(fit.detector, OperatingPoint(fit.normal_scores, false_positive_rate))


def _all_images(study: SupportStudy, backbone: Backbone) -> Iterator[torch.Tensor] | None:
    """A routine study is judged by all its images, so a normal one is calibrated on all, too."""
    return study.batches(backbone.batch_size) if study.sampled else None


def register_task(
    sessions: sessionmaker[Session],
    definition: TaskDefinition,
    *,
    support: SupportSet,
    fitted: Fitted,
    seed: int,
) -> VersionFacts:
    """Store a new version of a task and make it the active one; earlier versions retire."""
    weights = fitted.detector.to_bytes()
    info = fitted.detector.info
    with sessions.begin() as session:
        task = session.scalar(select(Task).where(Task.name == definition.name))
        if task is None:
            task = Task(name=definition.name, created_at=datetime.now(UTC))
            session.add(task)
        route, window = definition.route, definition.window
        task.modality = route.modality
        task.body_part = route.body_part
        task.view = route.view
        task.series_description = route.series_description
        for version in task.versions:
            version.state = TaskVersionState.RETIRED
        number = max((version.number for version in task.versions), default=0) + 1
        version = TaskVersion(
            task=task,
            number=number,
            uid=_version_uid(definition, number, fitted),
            state=TaskVersionState.ACTIVE,
            window_center=window.center if window else None,
            window_width=window.width if window else None,
            preset=info.preset.name,
            backbone=_backbone_label(info),
            backbone_sha256=info.backbone_sha256,
            weights=weights,
            weights_sha256=fitted.detector.sha256,
            seed=seed,
            k=support.k,
            false_positive_rate=fitted.operating_point.false_positive_rate,
            normal_scores=list(fitted.operating_point.normal_scores),
            created_at=datetime.now(UTC),
            support_items=[
                SupportItem(study=i.study, image=i.image, frame=i.frame, digest=i.digest)
                for i in support.items
            ],
        )
        session.add(version)
        session.flush()
        return _facts(version)


def retire_task(sessions: sessionmaker[Session], name: str) -> None:
    """Take every version of a task out of routing; what it has read stays.

    Raises:
        TaskError: There is no such task.
    """
    with sessions.begin() as session:
        for version in find_task(session, name).versions:
            version.state = TaskVersionState.RETIRED


def find_task(session: Session, name: str) -> Task:
    """The task of that name.

    Raises:
        TaskError: There is none; the message lists those that are.
    """
    task = session.scalar(select(Task).where(Task.name == name))
    if task is None:
        known = ", ".join(session.scalars(select(Task.name).order_by(Task.name)))
        raise TaskError(f"there is no task {name!r} (known: {known or 'none yet'})")
    return task


def active_tasks(session: Session) -> tuple[ActiveTask, ...]:
    """The active versions in the order in which their tasks were first registered."""
    versions = session.scalars(
        select(TaskVersion)
        .where(TaskVersion.state == TaskVersionState.ACTIVE)
        .order_by(TaskVersion.task_id)
    )
    return tuple(ActiveTask(version.id, _definition(version)) for version in versions)


def active_version(session: Session, name: str) -> VersionFacts:
    """The active version of a task.

    Raises:
        TaskError: No such task, or all its versions are retired.
    """
    for version in find_task(session, name).versions:
        if version.state is TaskVersionState.ACTIVE:
            return _facts(version)
    raise TaskError(f"task {name!r} has no active version; register it again")


def version_facts(session: Session, version_id: int) -> VersionFacts:
    """What results say of a task version."""
    return _facts(session.get_one(TaskVersion, version_id))


class DetectorStore:
    """Loads detectors from the database onto one backbone, each of them once."""

    def __init__(self, sessions: sessionmaker[Session], backbone: Backbone) -> None:
        self._sessions = sessions
        self._backbone = backbone
        self._detectors: dict[int, Detector] = {}
        self._lock = threading.Lock()

    @property
    def backbone(self) -> Backbone:
        """The frozen model below all detectors."""
        return self._backbone

    def get(self, version_id: int) -> Detector:
        """The detector of a task version.

        Raises:
            ai_core.WeightsMismatchError: It was fitted on another backbone.
            ai_core.CorruptDetectorError: What the database holds is damaged.
        """
        with self._lock:
            if version_id not in self._detectors:
                self._detectors[version_id] = self._load(version_id)
            return self._detectors[version_id]

    def load_active(self) -> None:
        """Load the detectors of all active task versions, so that one that is unfit is told now.

        Raises:
            ai_core.WeightsMismatchError, ai_core.CorruptDetectorError: As `get`.
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


def versions_of_another_backbone(session: Session, backbone: Backbone) -> Sequence[str]:
    """Active task versions that the backbone can't serve, as "name version n (backbone)"."""
    versions = session.scalars(
        select(TaskVersion).where(
            TaskVersion.state == TaskVersionState.ACTIVE,
            TaskVersion.backbone_sha256 != backbone.sha256,
        )
    )
    return [f"{v.task.name} version {v.number} ({v.backbone})" for v in versions]


def _definition(version: TaskVersion) -> TaskDefinition:
    task, window = version.task, None
    if version.window_center is not None and version.window_width is not None:
        window = Window(center=version.window_center, width=version.window_width)
    route = Route(task.modality, task.body_part, task.view, task.series_description)
    return TaskDefinition(task.name, route, window)


def _facts(version: TaskVersion) -> VersionFacts:
    return VersionFacts(
        id=version.id,
        uid=version.uid,
        number=version.number,
        definition=_definition(version),
        preset=version.preset,
        backbone=version.backbone,
        backbone_sha256=version.backbone_sha256,
        weights_sha256=version.weights_sha256,
        k=version.k,
        operating_point=OperatingPoint(tuple(version.normal_scores), version.false_positive_rate),
    )


def _backbone_label(info: DetectorInfo) -> str:
    """Model and weights; of a weights file only its name, for results leave the hospital's disk."""
    weights = Path(info.weights).name
    return info.backbone if info.backbone == weights else f"{info.backbone} ({weights})"


def _version_uid(definition: TaskDefinition, number: int, fitted: Fitted) -> str:
    """The same fit under the same definition is the same version on every node."""
    parts = (definition, number, fitted.detector.sha256, fitted.operating_point)
    return hashlib.sha256(repr(parts).encode()).hexdigest()
