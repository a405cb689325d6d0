"""A run that commit 8769e21 began is finished by the code of today.

`data/begun_by_8769e21.tar.xz` is the storage of a node that was killed by SIGKILL while it wrote
the results of one study (…7.9: no step `write` in the engine's tables), when the delivery of
another (…7.8) waited for its second attempt. The weights of the task version were taken out to
keep the file small; the test fits others in their place.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text, update

from ai_core import Backbone, Detector
from mediclip_dicom.database import RunState, TaskVersion, open_database
from mediclip_dicom.engine import names
from mediclip_dicom.node import Node
from mediclip_dicom.settings import DestinationSettings
from tests.conftest import wait_until
from tests.factories.nodes import Destination, is_finished, runs_of
from tests.factories.studies import study_uid
from tests.factories.tasks import FittedTask, settings_in

STORAGE = Path(__file__).parent / "data" / "begun_by_8769e21.tar.xz"

NAMES_OF_8769E21 = {
    "workflows": {"gather", "analyze", "deliver", "confirm"},
    "steps": {
        "take_revision", "route", "task_versions", "score", "write", "plan_deliveries", "fail",
        "deliver", "give_up_delivery", "finish", "ask",
    },
}  # fmt: skip


def test_the_names_in_the_engines_tables_are_those_of_the_first_release() -> None:
    workflows = {names.GATHER, names.ANALYZE, names.DELIVER, names.CONFIRM}
    steps = {
        names.TAKE_REVISION, names.ROUTE, names.TASK_VERSIONS, names.SCORE, names.WRITE,
        names.PLAN_DELIVERIES, names.FAIL, names.DELIVER_ONCE, names.GIVE_UP_DELIVERY,
        names.FINISH, names.ASK_COMMITMENT,
    }  # fmt: skip
    assert workflows == NAMES_OF_8769E21["workflows"]
    assert steps == NAMES_OF_8769E21["steps"]
    assert (names.GATHER_QUEUE, names.ANALYZE_QUEUE) == ("gather", "analyze")
    assert names.delivery_queue("pacs") == "deliver-pacs"
    assert names.confirmation_queue("pacs") == "confirm-pacs"
    assert (names.APPLICATION_NAME, names.WORKFLOW_VERSION) == ("mediclip-dicom", "1")


@pytest.fixture
def archive() -> Iterator[Destination]:
    archive = Destination()
    yield archive
    archive.stop()


def test_a_run_that_an_earlier_release_began_is_finished(
    tmp_path: Path, archive: Destination, fitted_task: FittedTask, backbone: Backbone
) -> None:
    with tarfile.open(STORAGE) as storage:
        storage.extractall(tmp_path, filter="data")
    settings = settings_in(tmp_path)
    destination = DestinationSettings(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=archive.port
    )
    settings = settings.model_copy(update={"destinations": (destination,)})
    sessions = open_database(settings.database_url)
    with open_database(f"sqlite:///{fitted_task.database}")() as fitted:
        weights = fitted.scalars(select(TaskVersion.weights)).one()
    digest = Detector.from_bytes(weights, backbone=backbone).sha256
    with sessions.begin() as session:
        session.execute(update(TaskVersion).values(weights=weights, weights_sha256=digest))

    with Node(settings, backbone=backbone):
        for number in (8, 9):
            wait_until(lambda n=number: is_finished(sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]

    with sessions() as session:
        for number in (8, 9):
            (run,) = runs_of(session, study_uid(number))
            assert (run.state, run.reason) == (RunState.DONE, None)
            assert {result.kind for result in run.results} >= {"SR"}
    for number in (8, 9):
        modalities = [str(dataset.Modality) for dataset in archive.of_study(study_uid(number))]
        assert modalities.count("SR") == 1
    engine = create_engine(settings.workflow_database_url)
    with engine.connect() as connection:
        steps = "SELECT count(*) FROM operation_outputs WHERE function_name = 'score'"
        assert connection.execute(text(steps)).scalar_one() == 2, "a finished step ran again"
        states = connection.execute(text("SELECT DISTINCT status FROM workflow_status"))
        assert {row[0] for row in states} == {"SUCCESS"}
    engine.dispose()
