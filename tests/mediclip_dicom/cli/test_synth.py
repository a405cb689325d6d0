"""`mediclip-dicom synth`: a picture of what a detector would learn from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ai_core import preset_names
from ai_core.images import BACKGROUND, MARK
from mediclip_dicom.cli.detector.synth_sheet import LAYOUT
from tests.factories import sources
from tests.factories.command_line import Cli
from tests.factories.studies import mr_study


def tiles(path: Path, *, rows: int) -> np.ndarray:
    """What the sheet shows, (rows, 4, side, side, 3)."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    assert tuple(picture[0, 0]) == BACKGROUND
    places = [[LAYOUT.place(row=row, column=column) for column in range(4)] for row in range(rows)]
    side = LAYOUT.tile
    return np.stack(
        [[picture[top:, left:][:side, :side] for left, top in in_row] for in_row in places]
    )


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    for number in range(3):
        mr_study(tmp_path / "normals" / str(number), number)
    return tmp_path / "normals"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Normal pictures with structure everywhere, so that every anomaly shows."""
    generator = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        coarse = Image.fromarray(generator.integers(20, 230, (14, 14), dtype=np.uint8))
        coarse.resize((160, 160), Image.Resampling.BICUBIC).save(
            tmp_path / "pictures" / f"{number}.png"
        )
    return tmp_path / "pictures"


def test_a_sheet_shows_normal_synthetic_label_and_difference_of_each_task(
    cli: Cli, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sheets" / "sheet.png"
    said = cli("synth", "--out", out, "--rows", 2, pictures)
    assert said.code == 0
    assert "6 examples of cutpaste, intensity, source from 4 images" in said.text
    assert str(out) in said.text
    normal, synthetic, label, difference = tiles(out, rows=6).astype(int).swapaxes(0, 1)
    for row in range(6):
        changed = np.abs(synthetic[row] - normal[row]).max(-1) > 2
        assert 0.0002 < changed.mean() < 0.5
        outline = (np.abs(label[row] - MARK).max(-1) == 0) & (
            np.abs(synthetic[row] - MARK).max(-1) > 0
        )
        assert outline.any()
        still = ~outline
        assert np.array_equal(label[row][still], synthetic[row][still])
        brighter = (synthetic[row] - normal[row]).mean(-1) > 20
        darker = (synthetic[row] - normal[row]).mean(-1) < -20
        assert (difference[row][brighter][:, 0] > difference[row][brighter][:, 2]).all()
        assert (difference[row][darker][:, 2] > difference[row][darker][:, 0]).all()


@pytest.mark.parametrize("task", ["cutpaste", "intensity", "source"])
def test_one_task_alone(task: str, cli: Cli, normals: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    said = cli("synth", "--task", task, "--rows", 1, "--out", out, normals)
    assert said.code == 0
    assert f"1 examples of {task} from" in said.text
    assert Image.open(out).height < 2 * LAYOUT.tile + LAYOUT.head


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_can_be_shown(preset: str, cli: Cli, normals: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert cli("synth", "--preset", preset, "--rows", 1, "--out", out, normals).code == 0
    assert out.is_file()


def test_the_same_seed_gives_the_same_sheet(cli: Cli, normals: Path, tmp_path: Path) -> None:
    sheets = [tmp_path / f"{n}.png" for n in range(3)]
    for sheet, seed in zip(sheets, (1, 1, 2), strict=True):
        assert cli("synth", "--seed", seed, "--rows", 1, "--out", sheet, normals).code == 0
    first, again, other = (sheet.read_bytes() for sheet in sheets)
    assert first == again
    assert first != other


def test_studies_are_read_as_dicom(cli: Cli, normals: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    said = cli("synth", "--out", out, "--rows", 1, normals)
    assert said.code == 0
    assert "from 9 images" in said.text
    assert (tiles(out, rows=3)[:, 0].std((1, 2)) > 10).all()


def test_pictures_will_do_even_a_single_one(cli: Cli, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(30, 220, (60, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "normal.png")
    said = cli("synth", "--out", tmp_path / "sheet.png", "--rows", 3, tmp_path / "normal.png")
    assert said.code == 0
    assert "9 examples" in said.text


def test_the_commonest_modality_is_taken_unless_one_is_named(
    cli: Cli, normals: Path, tmp_path: Path
) -> None:
    sources.computed_radiograph(normals)
    out = tmp_path / "sheet.png"
    said = cli("synth", "--out", out, "--rows", 1, normals)
    assert said.code == 0
    assert "from 9 images" in said.text
    assert "left out: 1 files: the task reads MR" in said.text
    said = cli("synth", "--out", out, "--rows", 1, "--modality", "CR", normals)
    assert "from 1 images" in said.text


def test_paths_without_images_fail_with_1(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("no image")
    said = cli("synth", "--out", tmp_path / "sheet.png", tmp_path / "readme.txt")
    assert said.code == 1
    assert "none of 1 files can be used" in said.text
    said = cli("synth", "--out", tmp_path / "sheet.png", tmp_path / "absent")
    assert said.code == 1
    assert "there is no file or folder" in said.text


def test_a_picture_that_cannot_be_written_fails_with_1(
    cli: Cli, normals: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    said = cli("synth", "--out", tmp_path / "taken", "--rows", 1, normals)
    assert said.code == 1
    assert "can't be written" in said.text


@pytest.mark.parametrize(
    "arguments",
    [
        ("normals",),
        ("--out", "sheet.png"),
        ("--out", "sheet.png", "--task", "shear", "normals"),
        ("--out", "sheet.png", "--preset", "none", "normals"),
        ("--out", "sheet.png", "--rows", "0", "normals"),
        ("--out", "sheet.png", "--window", "40", "-5", "normals"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], cli: Cli) -> None:
    said = cli("synth", *arguments)
    assert said.code == 2
    assert said.err.strip()
