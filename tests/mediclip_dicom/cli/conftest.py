"""The console script as a shell calls it, in this process: arguments in, exit code and text out."""

import sys
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import Spool
from mediclip_dicom.cli import main
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring
from mediclip_dicom.tasks import DetectorStore
from tests.factories.command_line import Cli, Said, write_config
from tests.factories.received import receive
from tests.factories.studies import BIRTH_DATE, PATIENT_ID, PATIENT_NAME, mr_study, study_uid

SECRETS = (PATIENT_NAME, PATIENT_NAME.split("^")[0], PATIENT_ID, BIRTH_DATE)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run a command; whatever it says, it never names the patient of a study."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["mediclip-dicom", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        captured = capfd.readouterr()
        said = Said(code if isinstance(code, int) else 1, captured.out, captured.err)
        assert not [secret for secret in SECRETS if secret in captured.out + captured.err]
        return said

    return run


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    """Of a node without a task."""
    return write_config(settings, tmp_path / "node.toml")


@pytest.fixture
def task_config(node_settings: Settings, tmp_path: Path) -> Path:
    """Of a node with the fitted task."""
    return write_config(node_settings, tmp_path / "node.toml")


@pytest.fixture
def read_study(
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    tmp_path: Path,
) -> list[Path]:
    """A flagged study that the node has read."""
    paths = mr_study(tmp_path / "study", 50, lesion=True)
    with Spool(node_settings.storage.spool) as spool:
        for path in paths:
            receive(spool, path)
        intake = Intake(node_settings, fitted_sessions, spool)
        run_id = intake.route(intake.take_revision(study_uid(50)))
    scoring = Scoring(node_settings, fitted_sessions, DetectorStore(fitted_sessions, backbone))
    for version_id in scoring.task_versions(run_id):
        scoring.score(run_id, version_id)
        scoring.write(run_id, version_id)
    return paths
