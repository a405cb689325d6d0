"""Tasks: named detector definitions, each with fitted and calibrated versions in the database."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import OperatingPoint
from mediclip_dicom.database import Task, TaskVersion, TaskVersionState
from mediclip_dicom.errors import TaskError
from mediclip_dicom.imaging import Window
from mediclip_dicom.tasks.routing import Route


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
            return version_of(version)
    raise TaskError(f"task {name!r} has no active version; register it again")


def version_facts(session: Session, version_id: int) -> VersionFacts:
    """What results say of a task version."""
    return version_of(session.get_one(TaskVersion, version_id))


def _definition(version: TaskVersion) -> TaskDefinition:
    task, window = version.task, None
    if version.window_center is not None and version.window_width is not None:
        window = Window(center=version.window_center, width=version.window_width)
    route = Route(task.modality, task.body_part, task.view, task.series_description)
    return TaskDefinition(task.name, route, window)


def version_of(version: TaskVersion) -> VersionFacts:
    """Copy a row's columns."""
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
