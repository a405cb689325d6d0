"""Task versions: made once, never changed, retired rather than removed."""

import dataclasses

import pytest
import torch
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, CorruptDetectorError, WeightsMismatchError, load_backbone
from mediclip_dicom.database import SupportItem, TaskVersion, TaskVersionState
from mediclip_dicom.errors import TaskError
from mediclip_dicom.imaging import Preparation, Window
from mediclip_dicom.tasks import (
    DetectorStore,
    Fitted,
    Route,
    SupportImage,
    SupportSet,
    SupportStudy,
    TaskDefinition,
    TaskVersionInfo,
    active_tasks,
    active_version,
    get_version,
    incompatible_versions,
    list_versions,
    register_task,
    retire_task,
)
from tests.factories.studies import study_uid
from tests.factories.tasks import TASK, FittedTask


@pytest.fixture
def fitted(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> Fitted:
    facts = fitted_task.registered.version
    detector = DetectorStore(fitted_sessions, backbone).get(facts.id)
    return Fitted(detector, facts.operating_point, facts.calibration)


def store(
    sessions: sessionmaker[Session], name: str, fitted: Fitted, *, route: Route | None = None
) -> TaskVersionInfo:
    """Another version from a detector that is fitted already."""
    support = SupportSet(
        images=torch.zeros(2, 3, 224, 224),
        groups=(0, 1),
        items=tuple(SupportImage(study_uid(n), f"1.2.{n}", 1, f"{n:064x}") for n in (1, 2)),
        studies=tuple(SupportStudy((), Preparation("pad"), 1) for _ in (1, 2)),
        left_out=(),
    )
    definition = TaskDefinition(name, route or Route("MR", body_part="BRAIN"))
    return register_task(sessions, definition, support=support, fitted=fitted, seed=1)


def stored(sessions: sessionmaker[Session], version_id: int) -> dict[str, object]:
    with sessions() as session:
        version = session.get_one(TaskVersion, version_id)
        columns = {c.key: getattr(version, c.key) for c in TaskVersion.__table__.columns}
        items = session.scalars(
            select(SupportItem.digest).where(SupportItem.task_version_id == version_id)
        ).all()
    return columns | {"support items": sorted(items)}


def test_registering_a_name_again_makes_a_new_version_and_retires_the_one_before(
    fitted_sessions: sessionmaker[Session], fitted: Fitted
) -> None:
    second = store(fitted_sessions, TASK, fitted)
    assert second.number == 2
    with fitted_sessions() as session:
        states = {v.info.number: v.state for v in list_versions(session, TASK)}
        assert active_version(session, TASK).id == second.id
    assert states == {1: TaskVersionState.RETIRED, 2: TaskVersionState.ACTIVE}


def test_an_earlier_version_keeps_everything_but_its_state(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, fitted: Fitted
) -> None:
    first = fitted_task.registered.version.id
    before = stored(fitted_sessions, first)
    store(fitted_sessions, TASK, fitted)
    after = stored(fitted_sessions, first)
    assert after.pop("state") is TaskVersionState.RETIRED
    assert before.pop("state") is TaskVersionState.ACTIVE
    assert after == before


def test_two_versions_never_share_a_uid(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, fitted: Fitted
) -> None:
    second = store(fitted_sessions, TASK, fitted)
    other = store(fitted_sessions, "other", fitted)
    assert len({fitted_task.registered.version.uid, second.uid, other.uid}) == 3


def test_routing_sees_active_tasks_in_the_order_of_their_first_registration(
    fitted_sessions: sessionmaker[Session], fitted: Fitted
) -> None:
    store(fitted_sessions, "second", fitted)
    store(fitted_sessions, "third", fitted)
    store(fitted_sessions, TASK, fitted)
    retire_task(fitted_sessions, "second")
    with fitted_sessions() as session:
        assert [task.definition.name for task in active_tasks(session)] == [TASK, "third"]


def test_a_retired_task_has_no_active_version_and_comes_back_by_registering(
    fitted_sessions: sessionmaker[Session], fitted: Fitted
) -> None:
    retire_task(fitted_sessions, TASK)
    with (
        fitted_sessions() as session,
        pytest.raises(TaskError, match="no active version; register it again"),
    ):
        active_version(session, TASK)
    assert store(fitted_sessions, TASK, fitted).number == 2


def test_an_unknown_task_is_answered_with_the_known_ones(
    fitted_sessions: sessionmaker[Session], sessions: sessionmaker[Session]
) -> None:
    with fitted_sessions() as session, pytest.raises(TaskError, match=f"known: {TASK}"):
        list_versions(session, "brian-mr")
    with sessions() as session, pytest.raises(TaskError, match="known: none yet"):
        list_versions(session, "brian-mr")
    with pytest.raises(TaskError, match="there is no task 'brian-mr'"):
        retire_task(fitted_sessions, "brian-mr")


def test_the_facts_of_a_version_come_back_as_they_were_registered(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, fitted: Fitted
) -> None:
    facts = fitted_task.registered.version
    with fitted_sessions() as session:
        assert get_version(session, facts.id) == facts
    definition = TaskDefinition(
        "windowed", Route("CT", "HEAD", None, "*[ab]*"), (Window(center=40.0, width=80.0),)
    )
    support = SupportSet(torch.zeros(1, 3, 224, 224), (0,), (), (), ())
    windowed = register_task(fitted_sessions, definition, support=support, fitted=fitted, seed=2)
    with fitted_sessions() as session:
        assert get_version(session, windowed.id).definition == definition


def test_a_detector_is_never_put_on_another_backbone_than_its_own(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask
) -> None:
    other = load_backbone("untrained", "untrained", device="cpu", seed=1)
    with pytest.raises(WeightsMismatchError):
        DetectorStore(fitted_sessions, other).get(fitted_task.registered.version.id)


def test_active_versions_of_another_backbone_are_named_and_retired_ones_are_not(
    fitted_sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    with fitted_sessions.begin() as session:
        assert incompatible_versions(session, backbone) == []
        session.execute(update(TaskVersion).values(backbone_sha256="0" * 64))
    with fitted_sessions() as session:
        assert incompatible_versions(session, backbone) == [f"{TASK} version 1 (untrained)"]
    retire_task(fitted_sessions, TASK)
    with fitted_sessions() as session:
        assert incompatible_versions(session, backbone) == []


def test_damaged_weights_are_told_and_never_used(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> None:
    version_id = fitted_task.registered.version.id
    with fitted_sessions.begin() as session:
        version = session.get_one(TaskVersion, version_id)
        version.weights = version.weights[:-100] + bytes(100)
    with pytest.raises(CorruptDetectorError):
        DetectorStore(fitted_sessions, backbone).get(version_id)


def test_what_a_version_says_cannot_be_changed(fitted_task: FittedTask) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        fitted_task.registered.version.k = 99  # type: ignore[misc]
