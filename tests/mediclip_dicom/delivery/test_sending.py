"""One delivery: over one association, each answer noted, what is left goes out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID, generate_uid
from sqlalchemy.orm import Session, sessionmaker

from listener.errors import AssociationAbortedError, NoPresentationContextError
from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ResultFile,
    Run,
    RunState,
    Study,
    StudyRevision,
)
from mediclip_dicom.delivery import Delivering, is_transient
from mediclip_dicom.engine.attempts import LONGEST_PAUSE_S, pause_s
from mediclip_dicom.engine.names import delivery_id, is_delivery, next_attempt_id
from mediclip_dicom.errors import DeliveryError
from mediclip_dicom.settings import DestinationSettings, Settings
from tests.factories.archives import ScriptedArchive
from tests.factories.rows import NOW, task_version
from tests.listener.conftest import CT, bundled

RUN = "a" * 64
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def archive() -> Iterator[ScriptedArchive]:
    with ScriptedArchive() as made:
        yield made


class Deliveries:
    """A run with some result objects and the deliveries planned for them."""

    def __init__(
        self, settings: Settings, sessions: sessionmaker[Session], archive: ScriptedArchive
    ) -> None:
        destination = DestinationSettings(
            name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port, results=("SR",)
        )
        self.settings = settings.model_copy(update={"destinations": (destination,)})
        self.sessions = sessions
        self.steps = Delivering(self.settings, sessions)

    def plan(self, paths: list[Path]) -> list[str]:
        """The SOP Instance UIDs, in the order in which they will go out."""
        with self.sessions.begin() as session:
            revision = StudyRevision(
                study=Study(study_instance_uid="1.2.3", first_seen_at=NOW),
                number=1,
                content_digest="0" * 64,
                created_at=NOW,
            )
            run = Run(id=RUN, revision=revision, state=RunState.WRITING, created_at=NOW)
            session.add(run)
            session.flush()
            for path in paths:
                dataset = dcmread(path)
                session.add(
                    ResultFile(
                        sop_instance_uid=dataset.SOPInstanceUID,
                        run_id=RUN,
                        task_version_id=task_version(session).id,
                        kind="SR",
                        sop_class_uid=dataset.SOPClassUID,
                        series_instance_uid=dataset.SeriesInstanceUID,
                        path=str(path),
                        digest="0",
                    )
                )
        assert self.steps.plan_deliveries(RUN) == ["archive"]
        return sorted(str(dcmread(path).SOPInstanceUID) for path in paths)

    def rows(self) -> dict[str, tuple[DeliveryState, int, int | None]]:
        with self.sessions() as session:
            return {
                row.sop_instance_uid: (row.state, row.attempts, row.status)
                for row in session.query(Delivery)
            }


@pytest.fixture
def deliveries(
    settings: Settings, sessions: sessionmaker[Session], archive: ScriptedArchive
) -> Deliveries:
    return Deliveries(settings, sessions, archive)


Make = Callable[..., list[Path]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make objects of one class, each a file with a UID of its own."""

    def make_objects(number: int, sop_class: str = CT) -> list[Path]:
        dataset = dcmread(bundled("CT_small.dcm"))
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        paths = []
        for _ in range(number):
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            paths.append(tmp_path / f"{dataset.SOPInstanceUID}.dcm")
            dataset.save_as(paths[-1])
        return paths

    return make_objects


def test_all_objects_of_a_delivery_go_over_one_association(
    deliveries: Deliveries,
    archive: ScriptedArchive,
    make: Make,
) -> None:
    uids = deliveries.plan(make(5))
    archive.answers = [0x0000, 0xB000, 0x0000, 0x0000, 0x0000]
    deliveries.steps.deliver(RUN, "archive")
    (sent,) = archive.associations
    assert sorted(sent) == uids
    assert deliveries.rows() == {
        uid: (DeliveryState.DELIVERED, 1, 0xB000 if uid == sent[1] else 0x0000) for uid in uids
    }
    deliveries.steps.deliver(RUN, "archive")
    assert len(archive.associations) == 1, "what is delivered is not sent again"


def test_a_broken_association_goes_on_with_what_is_left(
    deliveries: Deliveries,
    archive: ScriptedArchive,
    make: Make,
) -> None:
    uids = deliveries.plan(make(5))
    archive.answers = [0x0000, 0x0000, None]
    with pytest.raises(AssociationAbortedError) as caught:
        deliveries.steps.deliver(RUN, "archive")
    assert is_transient(caught.value)
    first = archive.associations[0]
    assert deliveries.rows() == {
        uid: (DeliveryState.DELIVERED, 1, 0x0000)
        if uid in first
        else (DeliveryState.PENDING, 1, None)
        for uid in uids
    }
    assert len(first) == 2
    deliveries.steps.deliver(RUN, "archive")
    assert sorted(archive.associations[1]) == sorted(set(uids) - set(first))
    assert {state for state, _, _ in deliveries.rows().values()} == {DeliveryState.DELIVERED}


def test_an_answer_is_written_down_before_the_next_object_goes_out(
    deliveries: Deliveries,
    archive: ScriptedArchive,
    make: Make,
) -> None:
    """A node that is killed in the middle has noted what was taken."""
    deliveries.plan(make(3))
    noted: list[int] = []

    def look() -> None:
        states = [state for state, _, _ in deliveries.rows().values()]
        noted.append(states.count(DeliveryState.DELIVERED))

    archive.before_answer = look
    deliveries.steps.deliver(RUN, "archive")
    assert noted == [0, 1, 2]


def test_a_refused_object_is_told_apart_from_those_that_are_taken(
    deliveries: Deliveries,
    archive: ScriptedArchive,
    make: Make,
) -> None:
    deliveries.plan(make(3))
    archive.answers = [0xC000, 0x0000, 0xA700]
    with pytest.raises(DeliveryError, match="refused 2 of 3 objects") as caught:
        deliveries.steps.deliver(RUN, "archive")
    assert is_transient(caught.value)
    refused, taken, later = archive.associations[0]
    rows = deliveries.rows()
    assert rows[refused] == (DeliveryState.FAILED, 1, 0xC000)
    assert rows[taken] == (DeliveryState.DELIVERED, 1, 0x0000)
    assert rows[later] == (DeliveryState.PENDING, 1, 0xA700)
    deliveries.steps.deliver(RUN, "archive")
    assert archive.associations[1] == [later]
    deliveries.steps.finish(RUN)
    with deliveries.sessions() as session:
        assert session.get_one(Run, RUN).state is RunState.FAILED


def test_a_destination_that_takes_none_of_the_kinds_is_an_error_once_and_no_loop(
    deliveries: Deliveries,
    archive: ScriptedArchive,
    make: Make,
) -> None:
    (uid,) = deliveries.plan(make(1, sop_class=MR))
    with pytest.raises(NoPresentationContextError, match="accepts none") as caught:
        deliveries.steps.deliver(RUN, "archive")
    assert not is_transient(caught.value)
    assert deliveries.rows() == {uid: (DeliveryState.FAILED, 1, 0x0122)}
    deliveries.steps.deliver(RUN, "archive")
    assert len(archive.associations) == 1


def test_pauses_grow_to_an_hour_and_differ_between_studies(settings: Settings) -> None:
    delivery = settings.delivery
    pauses = [pause_s(delivery, RUN, "archive", n) for n in range(1, 201)]
    assert pauses == sorted(pauses)
    assert 0.75 * 5 <= pauses[0] <= 1.25 * 5
    assert 0.75 * LONGEST_PAUSE_S <= pauses[-1] <= 1.25 * LONGEST_PAUSE_S
    assert pauses[0] == pause_s(delivery, RUN, "archive", 1)
    assert len({pause_s(delivery, f"{n}", "archive", 1) for n in range(20)}) > 10


def test_the_names_of_attempts_belong_to_one_destination() -> None:
    first = delivery_id(RUN, "pacs")
    second = next_attempt_id(first, 2)
    third = next_attempt_id(second, 3)
    again = delivery_id(RUN, "pacs", again="0f")
    names = [first, second, third, again, next_attempt_id(again, 2)]
    assert len(set(names)) == 5
    assert all(is_delivery(name, RUN, "pacs") for name in names)
    assert not any(is_delivery(name, RUN, "pac") for name in names)
    assert not is_delivery(delivery_id(RUN, "pacs-2"), RUN, "pacs")
    assert not is_delivery(f"{third}-4", RUN, "pacs"), "the engine's own name of what it enqueued"
