"""A task version that has read this content is not run again, whatever else is registered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session, make_transient, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import (
    ResultFile,
    Run,
    RunState,
    Task,
    TaskVersion,
    TaskVersionState,
    open_database,
)
from mediclip_dicom.engine import complete_now
from mediclip_dicom.node import Node
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Retention, Scoring, newest_reading, open_spool, stored_reading
from mediclip_dicom.tasks import retire_task
from tests.conftest import wait_until
from tests.factories.nodes import Destination, is_finished, runs_of, send
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import TASK, FittedTask, settings_in, with_task


@pytest.fixture
def archive() -> Iterator[Destination]:
    archive = Destination()
    yield archive
    archive.stop()


@pytest.fixture
def settings(tmp_path: Path, fitted_task: FittedTask, archive: Destination) -> Settings:
    return archive.added_to(with_task(settings_in(tmp_path), fitted_task))


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(run, task version) of every scoring."""
    calls: list[tuple[str, int]] = []
    score = Scoring.score

    def noted(self: Scoring, run_id: str, version_id: int) -> None:
        calls.append((run_id, version_id))
        score(self, run_id, version_id)

    monkeypatch.setattr(Scoring, "score", noted)
    return calls


def add_task(sessions: sessionmaker[Session], name: str, modality: str) -> int:
    """Register the fitted detector once more, for images of another kind."""
    with sessions.begin() as session:
        version = session.scalars(select(TaskVersion)).first()
        assert version is not None
        _ = version.weights  # deferred
        session.expunge(version)
        make_transient(version)
        version.id = None  # type: ignore[assignment]
        version.uid = f"{name:0<64}"
        version.state = TaskVersionState.ACTIVE
        version.task = Task(name=name, modality=modality, created_at=datetime.now(UTC))
        session.add(version)
        session.flush()
        return version.id


def study_with(folder: Path, number: int, *, second: str) -> list[Path]:
    """A brain MR series, and an image that the first task does not read."""
    paths = mr_study(folder, number)
    other = mr_study(folder / "second", number + 50, slices=1)[0]
    dataset = dcmread(other)
    dataset.StudyInstanceUID = study_uid(number)
    dataset.Modality, dataset.BodyPartExamined = second, "KNEE"
    dataset.save_as(other)
    return [*paths, other]


def state_of(run: Run) -> tuple[RunState, str | None]:
    return run.state, run.reason


def test_a_second_task_reads_its_images_and_the_first_ones_answer_is_reused(
    tmp_path: Path,
    settings: Settings,
    archive: Destination,
    backbone: Backbone,
    scored: list[tuple[str, int]],
) -> None:
    sessions = open_database(settings.database_url)
    uid = study_uid(31)
    with Node(settings, backbone=backbone) as node:
        send(node, study_with(tmp_path, 31, second="OT"))
        wait_until(lambda: is_finished(sessions, uid), "the first run")
        with sessions() as session:
            (first,) = runs_of(session, uid)
            before = {result.sop_instance_uid for result in first.results}
        second_task = add_task(sessions, "knee", "OT")
        complete_now(settings, uid)
        wait_until(lambda: is_finished(sessions, uid, runs=2), "the second run")

    with sessions() as session:
        one, two = sorted(runs_of(session, uid), key=lambda run: run.created_at)
        assert [state_of(one), state_of(two)] == [(RunState.DONE, None)] * 2
        assert scored == [(one.id, 1), (two.id, second_task)]
        assert {result.sop_instance_uid for result in one.results} == before
        assert {result.task_version_id for result in two.results} == {second_task}
        verdicts = {verdict.task_version_id: verdict for verdict in two.verdicts}
        assert verdicts[1].read_in_run_id == one.id
        assert verdicts[1].score == one.verdicts[0].score
        assert verdicts[second_task].read_in_run_id is None
        scores = {row.sop_instance_uid: row.score for row in two.image_scores}
        for row in one.image_scores:
            if row.task_version_id == 1:
                assert scores[row.sop_instance_uid] == row.score
        found = newest_reading(session, uid)
        assert set(found.sources) == {(one.id, 1), (two.id, second_task)}
        assert len(found.objects) == len(one.results) + len(two.results)
        for run_id, version_id in found.sources:
            reading = stored_reading(session, settings, run_id, version_id)
            assert all(image.read_map().shape for image in reading.images if image.map)
    returned = [dataset.SOPInstanceUID for dataset in archive.of_study(uid)]
    assert len(returned) == len(set(returned)), "an object went out twice"
    reports = [dataset for dataset in archive.of_study(uid) if dataset.Modality == "SR"]
    assert len(reports) == 2
    for report in reports:
        assert "PredecessorDocumentsSequence" not in report


def test_a_run_of_reused_readings_alone_is_done_and_the_study_may_leave_the_disk(
    tmp_path: Path, settings: Settings, backbone: Backbone, scored: list[tuple[str, int]]
) -> None:
    sessions = open_database(settings.database_url)
    add_task(sessions, "knee", "OT")
    uid = study_uid(32)
    with Node(settings, backbone=backbone) as node:
        send(node, study_with(tmp_path, 32, second="OT"))
        wait_until(lambda: is_finished(sessions, uid), "the first run")
        retire_task(sessions, TASK)
        complete_now(settings, uid)
        wait_until(lambda: is_finished(sessions, uid, runs=2), "the second run")
    assert len(scored) == 2
    with sessions() as session:
        _, two = sorted(runs_of(session, uid), key=lambda run: run.created_at)
        assert two.state is RunState.DONE
        assert list(two.results) == []
    with open_spool(settings) as spool:
        (finished,) = Retention(settings, sessions, spool).finished()
        assert len(finished.run_ids) == 2


def test_a_version_that_reads_more_of_the_same_content_makes_other_objects(
    tmp_path: Path, settings: Settings, backbone: Backbone, scored: list[tuple[str, int]]
) -> None:
    """The first task retires, and the second one gets its images, too."""
    sessions = open_database(settings.database_url)
    second_task = add_task(sessions, "all-mr", "MR")
    uid = study_uid(33)
    with Node(settings, backbone=backbone) as node:
        send(node, study_with(tmp_path, 33, second="MR"))
        wait_until(lambda: is_finished(sessions, uid), "the first run")
        retire_task(sessions, TASK)
        complete_now(settings, uid)
        wait_until(lambda: is_finished(sessions, uid, runs=2), "the second run")
    with sessions() as session:
        one, two = sorted(runs_of(session, uid), key=lambda run: run.created_at)
        assert scored[-1] == (two.id, second_task)
        assert {row.score is not None for row in two.image_scores} == {True}

        def report_of(run: Run) -> ResultFile:
            (report,) = [
                result
                for result in run.results
                if result.kind == "SR" and result.task_version_id == second_task
            ]
            return report

        earlier, later = report_of(one), report_of(two)
        assert earlier.sop_instance_uid != later.sop_instance_uid
        document = dcmread(settings.storage.results / later.path)
        (predecessor,) = document.PredecessorDocumentsSequence
        (series,) = predecessor.ReferencedSeriesSequence
        (instance,) = series.ReferencedSOPSequence
        assert instance.ReferencedSOPInstanceUID == earlier.sop_instance_uid
