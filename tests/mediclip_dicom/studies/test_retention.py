"""What leaves the disk, and what never does."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool, content_digest
from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ResultFile,
    Run,
    RunState,
    Study,
    StudyRevision,
    open_database,
)
from mediclip_dicom.settings import DestinationSettings, Settings
from mediclip_dicom.studies import Retention
from tests.factories import sources
from tests.factories.rows import NOW, task_version
from tests.listener.conftest import received

DELIVERED = (DeliveryState.DELIVERED,)


class Archive:
    """Studies in the spool and what the database says of them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.spool = Spool(settings.storage.spool)
        self.sessions: sessionmaker[Session] = open_database(settings.database_url)

    def add(
        self,
        number: int,
        *,
        days: float,
        state: RunState = RunState.DONE,
        deliveries: tuple[DeliveryState, ...] = DELIVERED,
    ) -> str:
        uid = f"1.2.826.0.1.99.{number}"
        self.send(uid, number)
        run_id = f"run-{number}"
        at = NOW - timedelta(days=days)
        finished = state in (RunState.DONE, RunState.NO_TASK, RunState.FAILED)
        with self.sessions.begin() as session:
            revision = StudyRevision(
                study=Study(study_instance_uid=uid, first_seen_at=at),
                number=1,
                content_digest=content_digest(self.spool.instances(uid)),
                created_at=at,
            )
            run = Run(
                id=run_id,
                revision=revision,
                state=state,
                created_at=at,
                finished_at=at if finished else None,
            )
            session.add(run)
            session.flush()
            if state is not RunState.NO_TASK:
                self._result(session, run, number, deliveries)
        (self.settings.storage.results / run_id).mkdir(parents=True)
        return uid

    def send(self, uid: str, number: int, *, instance: int = 1) -> None:
        folder = self.folder / f"{number}-{instance}"
        folder.mkdir()
        (path,) = sources.mr_series(
            folder, slices=1, rows=8, columns=8, series=number * 100 + instance,
            StudyInstanceUID=uid,
        )  # fmt: skip
        item = received(path)
        self.spool.store(item.data, item.transfer)

    def _result(
        self, session: Session, run: Run, number: int, states: tuple[DeliveryState, ...]
    ) -> None:
        result = ResultFile(
            sop_instance_uid=f"1.2.3.{number}", run_id=run.id, kind="SR", sop_class_uid="1.2",
            task_version_id=task_version(session).id, series_instance_uid="1.2.3", path="x",
            digest="0",
        )  # fmt: skip
        result.deliveries = [
            Delivery(destination=f"d{index}", state=state, updated_at=NOW)
            for index, state in enumerate(states)
        ]
        session.add(result)

    def sweep(self, **retention: float) -> int:
        updated = self.settings.retention.model_copy(update=retention)
        settings = self.settings.model_copy(update={"retention": updated})
        return Retention(settings, self.sessions, self.spool).sweep(now=NOW)


@pytest.fixture
def archive(settings: Settings, tmp_path: Path) -> Archive:
    return Archive(settings, tmp_path)


def test_without_a_policy_nothing_is_removed(archive: Archive) -> None:
    archive.add(1, days=1000)
    assert archive.sweep() == 0


def test_by_age_old_studies_go_with_their_results_and_young_ones_stay(archive: Archive) -> None:
    archive.add(1, days=31)
    young = archive.add(2, days=29)
    assert archive.sweep(keep_days=30) == 1
    assert list(archive.spool.studies()) == [young]
    results = archive.settings.storage.results
    assert sorted(path.name for path in results.iterdir()) == ["run-2"]


def test_by_size_the_oldest_go_until_it_is_enough(archive: Archive) -> None:
    studies = [archive.add(number, days=10 - number) for number in range(1, 5)]
    held = [archive.spool.study_bytes(study) for study in studies]
    assert archive.sweep(keep_gb=(sum(held[2:]) + 10) / 2**30) == 2
    assert list(archive.spool.studies()) == studies[2:]


@pytest.mark.parametrize(
    ("state", "deliveries"),
    [
        (RunState.SCORING, DELIVERED),
        (RunState.DELIVERING, (DeliveryState.DELIVERED, DeliveryState.PENDING)),
        (RunState.FAILED, DELIVERED),
        (RunState.DONE, (DeliveryState.FAILED,)),
        (RunState.DONE, (DeliveryState.CANCELLED,)),
        (RunState.DONE, ()),
    ],
)
def test_nothing_unfinished_or_undelivered_is_ever_removed(
    archive: Archive, state: RunState, deliveries: tuple[DeliveryState, ...]
) -> None:
    archive.add(1, days=1000, state=state, deliveries=deliveries)
    assert archive.sweep(keep_days=1, keep_gb=1e-9) == 0


def test_a_study_that_no_task_reads_goes_by_age(archive: Archive) -> None:
    archive.add(1, days=1000, state=RunState.NO_TASK)
    assert archive.sweep(keep_days=1) == 1


def test_where_a_destination_confirms_delivered_is_not_enough(archive: Archive) -> None:
    committing = DestinationSettings(
        name="d0", ae_title="PACS", host="127.0.0.1", port=104, commitment=True
    )
    archive.settings = archive.settings.model_copy(update={"destinations": (committing,)})
    archive.add(1, days=1000)
    confirmed = archive.add(2, days=1000, deliveries=(DeliveryState.CONFIRMED,))
    assert archive.sweep(keep_days=1) == 1
    assert confirmed not in list(archive.spool.studies())


def test_an_instance_that_came_since_keeps_its_study(archive: Archive) -> None:
    uid = archive.add(1, days=1000)
    archive.send(uid, 1, instance=2)
    assert archive.sweep(keep_days=1) == 0


def test_a_study_that_is_only_received_stays(archive: Archive) -> None:
    archive.send("1.2.826.0.1.99.7", 7)
    assert archive.sweep(keep_days=1, keep_gb=1e-9) == 0
