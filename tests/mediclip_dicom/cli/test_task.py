"""`mediclip-dicom task`: teach the node, and see what it was taught."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy.orm import Session, sessionmaker

from ai_core import presets
from mediclip_dicom.database import TaskVersion
from mediclip_dicom.imaging import Preparation
from mediclip_dicom.tasks import (
    Calibration,
    DetectorStore,
    Fitted,
    FolderSource,
    Route,
    SupportSet,
    TaskDefinition,
    read_support_set,
    register_task,
)
from tests.factories.command_line import Cli
from tests.factories.studies import PATIENT_NAME, mr_study
from tests.factories.tasks import SMALLEST, TASK, FittedTask, K


@pytest.fixture
def smallest(monkeypatch: pytest.MonkeyPatch) -> str:
    """A preset that is fitted in a moment, beside the real ones."""
    monkeypatch.setattr(presets, "_PRESETS", (*presets._PRESETS, SMALLEST))
    return SMALLEST.name


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    for number in range(3):
        mr_study(tmp_path / "normals" / str(number), number, slices=1)
    return tmp_path / "normals"


def test_a_task_is_registered_from_a_folder_and_shown(
    cli: Cli, config: Path, normals: Path, smallest: str
) -> None:
    (normals / "readme.txt").write_text("normal studies")
    said = cli(
        *("--config", config, "task", "register", "head", normals, "--modality", "MR"),
        *("--body-part", "BRAIN", "--series", "*t[12]*", "--window", "400", "900"),
        *("--preset", smallest, "--false-positive-rate", "0.25", "--seed", "3"),
    )
    assert said.code == 0
    assert "task head version 1 is active: 3 images of 3 normal studies" in said.text
    assert "MR, body part BRAIN, series *t[12]*" in said.text
    assert "left out: 1 files: neither DICOM nor a picture" in said.text
    assert "about 25.0% of normal studies like these are flagged (tail, 2 folds)" in said.text
    assert "decided by normal study" in said.text

    listed = cli("--config", config, "task", "list")
    assert listed.code == 0
    assert "head" in listed.text
    assert "MR, BRAIN, *t[12]*" in listed.text
    assert smallest in listed.text

    shown = cli("--config", config, "task", "show", "head")
    assert shown.code == 0
    for fact in (
        "active",
        "BRAIN",
        "*t[12]*",
        "3 studies, 3 images",
        "25.0% asked",
        "untrained",
        "tail, 2 folds",
        "decided by",
    ):
        assert fact in shown.text


def test_windows_crop_and_tiles_are_shown_with_the_passes_that_they_cost(
    cli: Cli, config: Path, normals: Path, smallest: str
) -> None:
    said = cli(
        *("--config", config, "task", "register", "head", normals, "--modality", "MR"),
        *("--window", "400,900", "--window", "200", "400", "--crop", "body"),
        *("--preset", smallest, "--false-positive-rate", "0.25"),
    )
    assert said.code == 0
    assert "each image takes 2 passes of the backbone" in said.text
    shown = cli("--config", config, "task", "show", "head")
    for fact in ("400,900, 200,400", "to the body", "passes per image"):
        assert fact in shown.text


def test_a_rate_that_the_normals_cannot_promise_is_said_with_both_ways_out(
    cli: Cli, config: Path, normals: Path, smallest: str
) -> None:
    said = cli(
        *("--config", config, "task", "register", "head", normals, "--modality", "MR"),
        *("--preset", smallest, "--false-positive-rate", "0.05"),
    )
    assert said.code == 3
    assert "3 normal studies can promise no less than 25.0%" in said.text
    assert "Name at least 8 normal studies" in said.text
    assert "no task is registered" in cli("--config", config, "task", "list").text
    (rate,) = re.findall(r"--false-positive-rate ([0-9.]+) or more", said.text)
    again = cli(
        *("--config", config, "task", "register", "head", normals, "--modality", "MR"),
        *("--preset", smallest, "--false-positive-rate", rate),
    )
    assert again.code == 0
    assert "task head version 1 is active" in again.text


def test_pictures_are_taken_and_their_names_are_not_repeated(
    cli: Cli, config: Path, tmp_path: Path, smallest: str
) -> None:
    for number in range(2):
        path = tmp_path / "pictures" / f"{PATIENT_NAME} {number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.radial_gradient("L").rotate(40 * number).resize((64 + number, 48)).save(path)
    said = cli(
        *("--config", config, "task", "register", "xray", tmp_path / "pictures"),
        *("--modality", "CR", "--preset", smallest, "--false-positive-rate", "0.5"),
    )
    assert said.code == 0
    assert "2 images of 2 normal studies" in said.text


def test_what_was_taken_and_left_out_is_shown_before_the_fit(
    cli: Cli, config: Path, normals: Path, tmp_path: Path, smallest: str
) -> None:
    """Shown although nothing was fitted: so few studies can't promise the rate."""
    cd = tmp_path / "cd"
    shutil.copytree(normals, cd / "DICOM")
    for name in ("LOGO.PNG", "splash.jpg"):
        Image.new("RGB", (60, 40), (200, 10, 10)).save(cd / name)
    shutil.make_archive(str(cd / "viewer"), "zip", normals)
    register = ("--config", config, "task", "register", "head", cd, "--modality", "MR")
    refused = cli(*register, "--preset", smallest, "--false-positive-rate", "0.001")
    assert refused.code == 3
    assert re.search(r"taken: \d+ images of \d+ normal studies left out", refused.text)
    assert "2 files: a picture among DICOM files" in refused.text
    assert "1 files: zip archive: unpack it and name the folder" in refused.text
    assert "LOGO" not in refused.text, "a file's name may be a patient's"
    none = cli(*register, "--preset", smallest, "--series", "*NO SUCH*")
    assert none.code == 1
    assert "would match without the series description" in none.text
    assert "taken:" not in none.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--preset", "defualt"), "no preset 'defualt'; there are default"),
        (("--false-positive-rate", "0"), "must be between 0 and 1"),
        (("--false-positive-rate", "1"), "must be between 0 and 1"),
        (("--window", "40", "0"), "a window's width must be at least 1"),
        (("--window", "lungs"), "'lungs' is no window: take a name (lung, mediastinum"),
        (("--window", "lung"), "a MR image has no Hounsfield units"),
        (("--tiles", "5"), "less than or equal to 4"),
        (("--body-part", "KNEE"), "the task reads MR, body part KNEE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_request_that_makes_no_task_is_refused_and_nothing_is_stored(
    options: tuple[str, ...], told: str, cli: Cli, config: Path, normals: Path
) -> None:
    said = cli(
        "--config", config, "task", "register", "head", normals, "--modality", "MR", *options
    )
    assert said.code in (1, 2)
    assert told in said.text
    assert "Traceback" not in said.text
    assert "no task is registered" in cli("--config", config, "task", "list").text


def test_a_folder_that_is_not_there_is_named(cli: Cli, config: Path, tmp_path: Path) -> None:
    said = cli("--config", config, "task", "register", "h", tmp_path / "x", "--modality", "MR")
    assert said.code == 1
    assert f"there is no file or folder {tmp_path / 'x'}" in said.text


def test_an_unknown_task_ends_with_1_and_the_known_ones(cli: Cli, task_config: Path) -> None:
    for command in ("show", "retire"):
        said = cli("--config", task_config, "task", command, "brian")
        assert said.code == 1
        assert f"there is no task 'brian' (known: {TASK})" in said.text


def test_a_retired_task_is_listed_as_such(cli: Cli, task_config: Path) -> None:
    assert cli("--config", task_config, "task", "retire", TASK).code == 0
    assert "retired" in cli("--config", task_config, "task", "list").text
    assert "retired" in cli("--config", task_config, "task", "show", TASK).text


def test_every_version_is_shown_with_its_own_facts(
    cli: Cli,
    task_config: Path,
    fitted_sessions: sessionmaker[Session],
    fitted_task: FittedTask,
    backbone: object,
) -> None:
    version = fitted_task.registered.version
    detector = DetectorStore(fitted_sessions, backbone).get(version.id)  # type: ignore[arg-type]
    support: SupportSet = read_support_set(
        FolderSource(fitted_task.normals),
        route=Route("MR"),
        preparation=Preparation("pad"),
        images_per_study=1,
    )
    point = replace(version.operating_point, false_positive_rate=0.05)
    register_task(
        fitted_sessions,
        TaskDefinition(TASK, Route("MR", "BRAIN")),
        support=support,
        fitted=Fitted(detector, point, Calibration("counting")),
        seed=99,
    )
    with fitted_sessions() as session:
        assert session.query(TaskVersion).count() == 2
    text = cli("--config", task_config, "task", "show", TASK).text
    first, second = text.split(f"{TASK} version 2")
    assert f"{K} studies, {3 * K} images" in first
    assert "25.0% asked" in first
    assert f"{K} studies, {K} images" in second
    assert "none: uncalibrated, never flags" in second
    assert "99" in second
    assert "register the task again" in second
    assert "register the task again" not in first
    # the second is the active one
    assert "register the task again" in cli("--config", task_config, "task", "list").text


def test_a_list_of_tasks_calibrated_by_the_rule_of_today_asks_for_nothing(
    cli: Cli, task_config: Path
) -> None:
    assert "register the task again" not in cli("--config", task_config, "task", "list").text
