"""The console script as a shell calls it, in this process: arguments in, exit code and text out."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import Spool
from mediclip_dicom.cli import main
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring
from mediclip_dicom.tasks import DetectorStore
from tests.factories.studies import BIRTH_DATE, PATIENT_ID, PATIENT_NAME, mr_study, study_uid
from tests.mediclip_dicom.studies.test_content import receive

SECRETS = (PATIENT_NAME, PATIENT_NAME.split("^")[0], PATIENT_ID, BIRTH_DATE)


@dataclass(frozen=True)
class Said:
    """How a command ended and everything that it printed or logged."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it, line breaks of tables and wrapped messages taken out."""
        return " ".join((self.out + " " + self.err).split())


Cli = Callable[..., Said]


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


def write_config(settings: Settings, path: Path, *, extra: str = "") -> Path:
    """The settings that the tests change, as the file that an administrator writes."""
    sections = {
        "node": {"host": settings.node.host, "port": settings.node.port, "open": True},
        "storage": {"root": str(settings.storage.root), "min_free_mb": 1},
        "backbone": {"model": "untrained", "weights": "untrained", "device": "cpu"},
    }
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items())]
    path.write_text("\n".join(lines) + "\n" + extra)
    return path


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
