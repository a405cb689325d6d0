"""`mediclip-dicom render` and `export`: what the node said of a study, as files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import TaskVerdict
from tests.factories.command_line import Cli
from tests.factories.studies import PATIENT_ID, study_uid
from tests.factories.tasks import TASK, K


def test_render_draws_the_most_anomalous_image_and_names_nobody(
    cli: Cli, task_config: Path, read_study: list[Path], tmp_path: Path
) -> None:
    picture = tmp_path / "pictures" / "study.png"
    said = cli("--config", task_config, "render", study_uid(50), "--out", picture)
    assert said.code == 0, said.text
    assert f"{picture}: abnormal" in said.text
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[1] > 768
    assert (pixels[..., 0] - pixels[..., 2] > 60).sum() > 500


def test_export_writes_objects_maps_and_scores(
    cli: Cli, task_config: Path, read_study: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "exported"
    said = cli("--config", task_config, "export", study_uid(50), "--out", out)
    assert said.code == 0, said.text
    objects = [dcmread(path) for path in (out / "objects").iterdir()]
    assert sorted(dataset.Modality for dataset in objects) == ["SEG", "SR"]
    assert {dataset.PatientID for dataset in objects} == {PATIENT_ID}
    uids = [str(dcmread(path).SOPInstanceUID) for path in read_study]
    with (out / f"{TASK}-v1-scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sop_instance_uid"] for row in rows] == uids
    with (out / f"{TASK}-v1-findings.csv").open(newline="") as file:
        findings = list(csv.DictReader(file))
    assert findings[0]["number"] == "1"
    assert float(findings[0]["volume_mm3"]) > 0
    assert findings[0]["key_sop_uid"] in uids
    with np.load(out / f"{TASK}-v1-maps.npz") as maps:
        assert list(maps["sop_instance_uid"]) == uids
        assert maps["maps"].shape == (3, 224, 224)
        assert maps["maps"].dtype == np.float32
        top, left, bottom, right = maps["box"][0]
        assert (right - left) / (bottom - top) == pytest.approx(64 * 1.25 / (48 * 1.5), abs=0.02)
        for row, anomaly_map in zip(rows, maps["maps"], strict=True):
            assert 0 < float(row["score"]) <= anomaly_map.max()


def test_render_draws_the_key_image_of_a_finding(
    cli: Cli, task_config: Path, read_study: list[Path], tmp_path: Path
) -> None:
    picture = tmp_path / "finding.png"
    said = cli("--config", task_config, "render", study_uid(50), "--finding", "1", "--out", picture)
    assert said.code == 0, said.text
    assert picture.exists()
    said = cli(
        "--config", task_config, "render", study_uid(50), "--finding", "99", "--out", picture
    )
    assert said.code == 1
    assert "none of number 99" in said.text


def test_study_show_lists_the_findings(cli: Cli, task_config: Path, read_study: list[Path]) -> None:
    said = cli("--config", task_config, "study", "show", study_uid(50))
    assert said.code == 0
    assert f"findings of {TASK}" in said.text
    assert "slice" in said.text


def test_a_finding_is_shown_beside_its_nearest_normal_patch(
    cli: Cli, task_config: Path, read_study: list[Path], tmp_path: Path
) -> None:
    said = cli("--config", task_config, "study", "show", study_uid(50))
    assert "compared with the nearest normal patch" in said.text
    assert "normal study" in said.text
    whole, one = tmp_path / "study.png", tmp_path / "finding.png"
    cli("--config", task_config, "render", study_uid(50), "--out", whole)
    said = cli("--config", task_config, "render", study_uid(50), "--finding", "1", "--out", one)
    assert "not known" not in said.text
    with Image.open(one) as image:
        assert image.width > 768 + 210 + 250
        pair = np.asarray(image.convert("RGB"))[:, -250:].astype(int)
    assert ((pair[..., 0] > 240) & (pair[..., 1] > 200) & (pair[..., 2] < 60)).sum() > 200  # boxes
    out = tmp_path / "exported"
    cli("--config", task_config, "export", study_uid(50), "--out", out)
    with (out / f"{TASK}-v1-findings.csv").open(newline="") as file:
        (first, *_) = csv.DictReader(file)
    assert 1 <= int(first["normal_number"]) <= K
    assert 0 < float(first["normal_distance"]) < 2
    assert {first["normal_study"]} < {study_uid(n) for n in range(K)} | {""}


def test_a_version_that_does_not_know_its_patches_says_so(
    cli: Cli,
    task_config: Path,
    read_study: list[Path],
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    """As a verdict of an earlier release was stored."""
    with fitted_sessions.begin() as session:
        verdict = session.scalars(select(TaskVerdict)).one()
        assert verdict.findings is not None
        stored = json.loads(verdict.findings)
        for row in stored["reported"]:
            del row["normal"], row["extrapolated"]
        verdict.findings = json.dumps(stored)
    said = cli("--config", task_config, "study", "show", study_uid(50))
    assert "compared with: not known for this task version" in said.text
    picture = tmp_path / "finding.png"
    said = cli("--config", task_config, "render", study_uid(50), "--finding", "1", "--out", picture)
    assert said.code == 0
    assert "compared with: not known for this task version" in said.text
    with Image.open(picture) as image:
        assert image.width < 768 + 210 + 250


def test_study_show_marks_p_values_that_no_counting_reaches(
    cli: Cli, task_config: Path, read_study: list[Path], fitted_sessions: sessionmaker[Session]
) -> None:
    """The task's four normals can count down to 0.2; its false-positive rate is 0.25."""
    for p_value, marked in ((0.21, False), (0.2, False), (0.15, True)):
        with fitted_sessions.begin() as session:
            verdict = session.scalars(select(TaskVerdict)).one()
            verdict.p_value = p_value
        said = cli("--config", task_config, "study", "show", study_uid(50))
        (line,) = [line for line in said.out.splitlines() if f"{p_value:.4f}" in line]
        assert ("extrapolated" in line) == marked


@pytest.mark.parametrize("command", ["render", "export"])
def test_a_study_that_the_node_has_not_read_is_no_crash(
    cli: Cli, task_config: Path, tmp_path: Path, command: str
) -> None:
    said = cli("--config", task_config, command, "1.2.3", "--out", tmp_path / "x.png")
    assert said.code == 1
    assert "the node has read no study 1.2.3; see mediclip-dicom study list" in said.text
