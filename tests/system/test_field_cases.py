"""Studies of unusual composition, made by the shared scripts, as the node's steps read them.

The backbone is untrained: what is asked for is which frames are read, and what is said of the rest.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import load_backbone
from listener import Spool
from mediclip_dicom.database import Run, TaskVersion, open_database
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring, open_spool
from mediclip_dicom.tasks import DetectorStore, Route, register_from_paths
from tests.factories.received import receive
from tests.factories.tasks import SMALLEST, request_for, settings_in


@dataclass(frozen=True)
class Cases:
    """Folders of the scripts' output, and the steps of a node with a task for each modality."""

    folder: Path
    settings: Settings
    sessions: sessionmaker[Session]
    spool: Spool
    scoring: Scoring

    def answer(self, *folders: str) -> tuple[str, int, int]:
        """Verdict, frames scored and frames not, of the last of the folders sent in turn."""
        found = ("", 0, 0)
        intake = Intake(self.settings, self.sessions, self.spool)
        for folder in folders:
            paths = sorted((self.folder / folder).rglob("*.dcm"))
            for path in paths:
                receive(self.spool, path)
            run_id = intake.route(intake.take_revision(str(dcmread(paths[0]).StudyInstanceUID)))
            for version_id in self.scoring.task_versions(run_id):
                self.scoring.score(run_id, version_id)
                self.scoring.write(run_id, version_id)
            with self.sessions() as session:
                run = session.get_one(Run, run_id)
                (verdict,) = run.verdicts
                scored = sum(row.score is not None for row in run.image_scores)
                found = (verdict.verdict, scored, len(run.image_scores) - scored)
        return found


@pytest.fixture(scope="module")
def scripts(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases" / "dicom"
    if not folder.is_dir():
        pytest.skip(f"no scripts at {folder}")
    return folder


@pytest.fixture(scope="module")
def cases(scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    folder = tmp_path_factory.mktemp("cases")
    copied = folder / "scripts"  # running them writes bytecode beside them
    shutil.copytree(scripts, copied)
    for script in ("00_normals.py", "20_series.py", "42_duplicates.py"):
        subprocess.run(
            [sys.executable, script, str(folder / script.removesuffix(".py") / "out")],
            cwd=copied,
            check=True,
            capture_output=True,
        )
    settings = settings_in(folder)
    settings.storage.root.mkdir()
    sessions = open_database(settings.database_url)
    backbone = load_backbone("untrained", "untrained", device="cpu")
    normals = folder / "00_normals" / "out"
    for modality, paths in (
        ("MR", [normals / "mr"]),
        ("CT", [normals / "ct"]),
        ("PT", [folder / "20_series" / "pt-normals"]),
    ):
        request = request_for(modality.lower(), preset=SMALLEST, route=Route(modality))
        register_from_paths(sessions, paths, request, backbone=backbone)
    with sessions.begin() as session:  # whatever is read is normal
        session.execute(update(TaskVersion).values(normal_scores=[0.999999] * 4))
    with open_spool(settings) as spool:
        scoring = Scoring(settings, sessions, DetectorStore(sessions, backbone))
        yield Cases(folder, settings, sessions, spool, scoring)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("ct_alone", ("normal", 6, 0)),
        ("ct_scout_same_series", ("normal", 6, 1)),
        ("ct_scout_own_series", ("normal", 6, 1)),
        ("ct_dose_report", ("normal", 6, 1)),
        ("ct_two_patients", ("undetermined", 0, 12)),
        ("mr_dynamic_by_time_only", ("normal", 18, 0)),
        ("mr_dwi_directions", ("normal", 18, 0)),
        ("mr_cine_trigger_time", ("normal", 18, 0)),
        ("pt_static", ("normal", 6, 0)),
        ("pt_dynamic", ("normal", 18, 0)),
    ],
)
def test_a_study_of_unusual_composition_gets_its_answer(
    cases: Cases, name: str, answer: tuple[str, int, int]
) -> None:
    assert cases.answer(f"20_series/out/{name}") == answer


@pytest.mark.parametrize("order", [("C1", "C2"), ("D2", "D1")])
def test_series_that_share_sop_instance_uids_are_never_normal(
    cases: Cases, order: tuple[str, str]
) -> None:
    assert cases.answer(*(f"42_duplicates/out/{name}" for name in order)) == ("undetermined", 3, 0)


def test_two_studies_that_are_numbered_alike_are_read_apart(cases: Cases) -> None:
    for name in ("A", "B"):
        assert cases.answer(f"42_duplicates/out/{name}") == ("normal", 3, 0)
