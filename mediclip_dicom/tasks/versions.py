"""Queries about tasks and their versions, and the retirement of a task."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload, sessionmaker

from ai_core import OperatingPoint
from mediclip_dicom.database import SupportItem, Task, TaskVersion, TaskVersionState
from mediclip_dicom.errors import TaskError
from mediclip_dicom.imaging import Mode, Preparation, SupportKinds, Window
from mediclip_dicom.tasks.calibration import Calibration
from mediclip_dicom.tasks.routing import Route


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """Task as an administrator defines it.

    Attributes:
        name: its name.
        route: the images that it reads.
        windows: windows that it fixes, one pass each; none takes the images' own.
        crop: the detector sees the box around the body alone.
        tiles: enlargement in overlapping tiles, from 1.
    """

    name: str
    route: Route
    windows: tuple[Window, ...] = ()
    crop: bool = False
    tiles: int = 1


@dataclass(frozen=True, slots=True)
class ActiveTask:
    """Task version that routing may choose."""

    version_id: int
    definition: TaskDefinition


@dataclass(frozen=True, slots=True)
class TaskVersionInfo:
    """Task version without its weights: all that a result says of it.

    Attributes:
        id: key of the row.
        uid: digest of definition and fit, the same on every node.
        number: counted from 1 within the task.
        definition: task that it belongs to.
        preset: name of the preset that it was fitted with.
        geometry: "pad" or "stretch", the placement of an image in the detector's input.
        backbone: model and weights of the vision tower.
        backbone_trained: false for a seeded tower without weights.
        backbone_sha256: digest of the tower.
        weights_sha256: digest of the detector.
        k: number of normal studies that it was fitted on.
        operating_point: scores of the normals, and the false-positive rate asked for.
        calibration: rule and folds behind it, and the normal study that decides.
        support_kinds: kinds of image of the support set; None in versions that kept none.
    """

    id: int
    uid: str
    number: int
    definition: TaskDefinition
    preset: str
    geometry: Mode
    backbone: str
    backbone_trained: bool
    backbone_sha256: str
    weights_sha256: str
    k: int
    operating_point: OperatingPoint
    calibration: Calibration
    support_kinds: SupportKinds | None = None

    @property
    def preparation(self) -> Preparation:
        """Preparation of an image for its detector."""
        definition = self.definition
        return Preparation(self.geometry, definition.windows, definition.crop, definition.tiles)


@dataclass(frozen=True, slots=True)
class TaskVersionRow:
    """Task version as a list or a page shows it.

    Attributes:
        info: version itself.
        state: active or retired.
        seed: seed of its random draws.
        support_images: number of images in its support set.
        created_at: moment of its registration.
    """

    info: TaskVersionInfo
    state: TaskVersionState
    seed: int
    support_images: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TaskRow:
    """Task as a list shows it; `active` is None where all its versions are retired."""

    name: str
    route: Route
    active: TaskVersionRow | None


def list_tasks(session: Session) -> tuple[TaskRow, ...]:
    """Read all tasks with their active versions, in the order of their first registration."""
    tasks = session.scalars(
        select(Task).order_by(Task.id).options(selectinload(Task.versions))
    ).all()
    return tuple(_task_row(session, task) for task in tasks)


def list_versions(session: Session, name: str) -> tuple[TaskVersionRow, ...]:
    """Read every version of a task, the oldest first.

    Raises:
        TaskError: there is no such task.
    """
    return _version_rows(session, find_task(session, name).versions)


def active_tasks(session: Session) -> tuple[ActiveTask, ...]:
    """Read the active versions in the order in which their tasks were first registered."""
    versions = session.scalars(
        select(TaskVersion)
        .where(TaskVersion.state == TaskVersionState.ACTIVE)
        .order_by(TaskVersion.task_id)
    )
    return tuple(ActiveTask(version.id, _definition(version)) for version in versions)


def active_version(session: Session, name: str) -> TaskVersionInfo:
    """Read the active version of a task.

    Raises:
        TaskError: no such task, or all its versions are retired.
    """
    for version in find_task(session, name).versions:
        if version.state is TaskVersionState.ACTIVE:
            return version_info(version)
    raise TaskError(f"task {name!r} has no active version; register it again")


def get_version(session: Session, version_id: int) -> TaskVersionInfo:
    """Read a task version by its key."""
    return version_info(session.get_one(TaskVersion, version_id))


def retire_task(sessions: sessionmaker[Session], name: str) -> None:
    """Take every version of a task out of routing; its results stay.

    Raises:
        TaskError: there is no such task.
    """
    with sessions.begin() as session:
        for version in find_task(session, name).versions:
            version.state = TaskVersionState.RETIRED


def find_task(session: Session, name: str) -> Task:
    """Read the row of a task.

    Raises:
        TaskError: there is none; the message lists those that are.
    """
    task = session.scalar(select(Task).where(Task.name == name))
    if task is None:
        known = ", ".join(session.scalars(select(Task.name).order_by(Task.name)))
        raise TaskError(f"there is no task {name!r} (known: {known or 'none yet'})")
    return task


def version_info(version: TaskVersion) -> TaskVersionInfo:
    """Copy a row of `TaskVersion`, without its weights."""
    calibration = Calibration.from_dict(version.calibration)
    return TaskVersionInfo(
        id=version.id,
        uid=version.uid,
        number=version.number,
        definition=_definition(version),
        preset=version.preset,
        geometry=cast(Mode, version.geometry),
        backbone=version.backbone,
        backbone_trained=version.backbone_trained,
        backbone_sha256=version.backbone_sha256,
        weights_sha256=version.weights_sha256,
        k=version.k,
        operating_point=OperatingPoint(
            tuple(version.normal_scores), version.false_positive_rate, calibration.rule
        ),
        calibration=calibration,
        support_kinds=(
            None if version.support_kinds is None else SupportKinds.from_dict(version.support_kinds)
        ),
    )


def _task_row(session: Session, task: Task) -> TaskRow:
    active = [v for v in task.versions if v.state is TaskVersionState.ACTIVE]
    rows = _version_rows(session, active[:1])
    return TaskRow(task.name, _route(task), rows[0] if rows else None)


def _version_rows(session: Session, versions: Sequence[TaskVersion]) -> tuple[TaskVersionRow, ...]:
    counted = session.execute(
        select(SupportItem.task_version_id, func.count())
        .where(SupportItem.task_version_id.in_([version.id for version in versions]))
        .group_by(SupportItem.task_version_id)
    )
    images = {row[0]: row[1] for row in counted}
    return tuple(
        TaskVersionRow(
            info=version_info(version),
            state=version.state,
            seed=version.seed,
            support_images=images.get(version.id, 0),
            created_at=version.created_at,
        )
        for version in versions
    )


def definition_to_json(definition: TaskDefinition) -> dict[str, Any] | None:
    """Return windows, crop and tiles as plain values; None where nothing is done to an image."""
    if not definition.windows and not definition.crop and definition.tiles == 1:
        return None
    return {
        "windows": [asdict(window) for window in definition.windows],
        "crop": definition.crop,
        "tiles": definition.tiles,
    }


def _definition(version: TaskVersion) -> TaskDefinition:
    route = _route(version.task)
    if (stored := version.preparation) is not None:
        return TaskDefinition(
            version.task.name,
            route,
            tuple(Window(**window) for window in stored["windows"]),
            crop=stored["crop"],
            tiles=stored["tiles"],
        )
    windows: tuple[Window, ...] = ()
    if version.window_center is not None and version.window_width is not None:
        windows = (Window(center=version.window_center, width=version.window_width),)
    return TaskDefinition(version.task.name, route, windows)


def _route(task: Task) -> Route:
    return Route(
        task.modality,
        task.body_part,
        task.view,
        task.series_description,
        tuple(task.excluded_series or ()),
    )
