"""What the node wrote itself is no content of a study, whoever sends it back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.database import ResultFile, Run, RunState, TaskVersion
from mediclip_dicom.results import Device, ResultObject, write_results
from mediclip_dicom.studies import Intake, study_content, unread_studies
from mediclip_dicom.tasks import Registered
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading
from tests.factories.received import receive
from tests.factories.tasks import FittedTask, settings_in


@pytest.fixture
def picture(tmp_path: Path) -> ResultObject:
    device = Device(
        uid="2.25.1", name="n", manufacturer="m", model="m", serial="1", software_version="0"
    )
    reading = make_reading(image_readings(sources.computed_radiograph(tmp_path)))
    objects = write_results(reading, device=device, directory=tmp_path / "out", kinds=["SC"])
    return next(result for result in objects if result.kind == "SC")


def test_a_fused_picture_of_ours_that_is_routed_back_makes_no_new_revision(
    fitted_sessions: sessionmaker[Session],
    fitted_task: FittedTask,
    picture: ResultObject,
    tmp_path: Path,
) -> None:
    spool = Spool(tmp_path / "spool")
    intake = Intake(settings_in(tmp_path), fitted_sessions, spool)
    receive(spool, tmp_path / "cr-2.dcm")
    revision = intake.take_revision(sources.STUDY_UID)
    run_id = intake.route(revision)
    remember(fitted_sessions, run_id, picture, fitted_task.registered)

    receive(spool, picture.path)

    assert len(spool.instances(sources.STUDY_UID)) == 2
    assert intake.take_revision(sources.STUDY_UID) == revision
    assert unread_studies(fitted_sessions, spool) == []


def test_a_picture_of_someone_else_is_content(
    fitted_sessions: sessionmaker[Session], picture: ResultObject, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "spool")
    receive(spool, tmp_path / "cr-2.dcm")
    with fitted_sessions() as session:
        before = study_content(session, spool, sources.STUDY_UID)
        receive(spool, picture.path)
        after = study_content(session, spool, sources.STUDY_UID)
    assert len(after.instances) == 2
    assert before.digest != after.digest


def remember(
    sessions: sessionmaker[Session], run_id: str, result: ResultObject, registered: Registered
) -> None:
    with sessions.begin() as session:
        run = session.get_one(Run, run_id)
        run.state, run.finished_at = RunState.DONE, datetime.now(UTC)
        session.add(
            ResultFile(
                sop_instance_uid=result.sop_instance_uid,
                run_id=run_id,
                task_version_id=session.get_one(TaskVersion, registered.version.id).id,
                kind=result.kind,
                sop_class_uid=result.sop_class_uid,
                series_instance_uid=result.series_instance_uid,
                path="x.dcm",
                digest=result.sha256,
            )
        )
