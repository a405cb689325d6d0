"""`mediclip-dicom analyze`: SEG and SR from files, without any PACS."""

import shutil
from pathlib import Path

import highdicom
import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import TaskVersion
from tests.factories import sources
from tests.factories.command_line import Cli
from tests.factories.studies import PATIENT_ID, PATIENT_NAME, mr_study, study_uid
from tests.factories.tasks import TASK


def test_a_study_with_a_lesion_gives_a_segmentation_and_a_report_that_others_can_read(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    mr_study(tmp_path / "study", 40, lesion=True)
    out = tmp_path / "results" / "here"
    said = cli("--config", task_config, "analyze", tmp_path / "study", "--task", TASK, "--out", out)
    assert said.code == 0
    assert "abnormal: score 0." in said.text
    assert "3 images scored" in said.text
    files = sorted(out.iterdir())
    assert all(str(file) in said.text for file in files)
    by_modality = {str(dcmread(file).Modality): file for file in files}
    assert set(by_modality) == {"SEG", "SR"}
    segmentation = highdicom.seg.segread(by_modality["SEG"])
    assert segmentation.StudyInstanceUID == study_uid(40)
    assert str(segmentation.PatientName) == PATIENT_NAME
    assert segmentation.get_volume().array.any()
    report = highdicom.sr.srread(by_modality["SR"])
    assert report.PatientID == PATIENT_ID
    assert len(report.content) > 0


def test_a_repeat_replaces_the_files_and_touches_no_other(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    mr_study(tmp_path / "study", 41, lesion=True)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    arguments = ("--config", task_config, "analyze", tmp_path / "study", "--task", TASK)
    assert cli(*arguments, "--out", out).code == 0
    first = sorted(file.name for file in out.iterdir())
    assert cli(*arguments, "--out", out).code == 0
    assert sorted(file.name for file in out.iterdir()) == first
    assert (out / "mine.txt").read_text() == "keep"


def test_what_cannot_be_decoded_is_told_and_the_study_is_not_called_normal(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path / "study", 42)
    dataset = dcmread(paths[0])
    dataset.PixelData = dataset.PixelData[:64]
    dataset.save_as(paths[0], enforce_file_format=True)
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", *paths, "--task", TASK, "--out", out)
    assert said.code == 0
    assert "2 images scored" in said.text
    assert "not scored:" in said.text
    assert not said.text.startswith("normal")


def test_files_that_are_no_dicom_are_passed_over(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    mr_study(tmp_path / "study", 43)
    (tmp_path / "study" / "readme.txt").write_text("a study")
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", tmp_path / "study", "--task", TASK, "--out", out)
    assert said.code == 0
    assert "3 images scored" in said.text


def test_a_file_given_twice_counts_once(cli: Cli, task_config: Path, tmp_path: Path) -> None:
    mr_study(tmp_path / "study", 44, lesion=True)
    shutil.copytree(tmp_path / "study", tmp_path / "study" / "copy")
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", tmp_path / "study", "--task", TASK, "--out", out)
    assert said.code == 0
    assert "3 images scored" in said.text


@pytest.mark.parametrize("given", ["nothing", "text", "two studies", "missing"])
def test_files_that_are_not_one_study_end_with_1(
    given: str, cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    told = "the paths hold no DICOM image"
    if given != "missing":
        folder.mkdir()
    else:
        told = "there is no file or folder"
    if given == "text":
        (folder / "readme.txt").write_text("no study")
    if given == "two studies":
        mr_study(folder, 45, slices=1)
        sources.mr_series(folder, slices=1)
        told = "the paths hold 2 studies; give one at a time"
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", folder, "--task", TASK, "--out", out)
    assert said.code == 1
    assert told in said.text
    assert not out.exists()


def test_an_unknown_task_ends_with_1(cli: Cli, task_config: Path, tmp_path: Path) -> None:
    said = cli(
        "--config", task_config, "analyze", tmp_path, "--task", "no", "--out", tmp_path / "o"
    )
    assert said.code == 1
    assert f"there is no task 'no' (known: {TASK})" in said.text


def test_a_backbone_that_did_not_fit_the_task_ends_with_1_and_writes_nothing(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    text = task_config.read_text()
    task_config.write_text(text.replace('device = "cpu"', 'device = "cpu"\nblocks = [1, 2, 4]'))
    mr_study(tmp_path / "study", 46)
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", tmp_path / "study", "--task", TASK, "--out", out)
    assert said.code == 1
    assert "Traceback" not in said.text
    assert not out.exists()


def test_damaged_weights_end_with_1_and_write_nothing(
    cli: Cli, task_config: Path, fitted_sessions: sessionmaker[Session], tmp_path: Path
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(weights_sha256="0" * 64))
    mr_study(tmp_path / "study", 47)
    out = tmp_path / "out"
    said = cli("--config", task_config, "analyze", tmp_path / "study", "--task", TASK, "--out", out)
    assert said.code == 1
    assert "register the task again" in said.text
    assert not out.exists()


def test_a_folder_that_cannot_be_made_ends_with_1(
    cli: Cli, task_config: Path, tmp_path: Path
) -> None:
    mr_study(tmp_path / "study", 48)
    (tmp_path / "file").write_text("in the way")
    said = cli(
        *("--config", task_config, "analyze", tmp_path / "study"),
        *("--task", TASK, "--out", tmp_path / "file" / "out"),
    )
    assert said.code == 1
    assert "could not be written" in said.text
    assert "Traceback" not in said.text
