"""`mediclip-dicom evaluate` and `reproduce`: figures from folders, and what is wrong when not."""

import csv
import json
from pathlib import Path
from typing import Annotated

import pytest
import torch
import typer
from PIL import Image

from ai_core import Backbone
from ai_core.backbone import read_architecture
from mediclip_dicom.cli.options import Numbers, flatten, parse_support_sizes
from mediclip_dicom.tasks import open_backbone
from tests.ai_core.conftest import random_backbone
from tests.ai_core.evaluation.pictures import QUICK, blob, make_folder, save
from tests.factories.command_line import Cli

UNTRAINED = ("--model", "untrained", "--weights", "untrained")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, backbone: Backbone) -> None:
    """The fit takes a second, and the tower is loaded once for all tests."""
    monkeypatch.setattr("ai_core.presets._PRESETS", (QUICK,))
    for module in ("evaluate", "reproduce"):
        monkeypatch.setattr(
            f"mediclip_dicom.cli.detector.{module}.open_backbone", lambda _: backbone
        )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "bodies", normals=8, abnormals=3)


def test_a_folder_gives_tables_figures_record_and_sheet(cli: Cli, data: Path) -> None:
    arguments = ("--data", data, "--preset", "quick", "--k", "2", "--seeds", "0", "--seeds", "1")
    said = cli("evaluate", *arguments, *UNTRAINED, "--out", "out")
    assert said.code == 0, said.err
    assert "mediclip (quick)" in said.text
    assert "never trained" in said.text
    rows = json.loads(Path("out/metrics.json").read_text())
    assert {(row["method"], row["preset"], row["k"], row["seed"]) for row in rows} == {
        *(("mediclip", "quick", 2, seed) for seed in (0, 1)),
        *(("nearest-neighbour", None, 2, seed) for seed in (0, 1)),
        ("zero-shot", None, 0, 0),
    }
    assert {
        *("dataset", "preset", "method", "k", "seed", "image_auroc", "pixel_auroc", "aupro"),
        *("sensitivity", "fpr_promised", "fpr_seen", "fit_seconds", "images_per_second"),
    } < set(rows[0])
    markdown = Path("out/table.md").read_text()
    assert markdown.startswith("| dataset | method | k | seeds | image AUROC % |")
    assert "weights sha256" in markdown
    lines = list(csv.DictReader(Path("out/table.csv").read_text().splitlines()))
    assert [line["seeds"] for line in lines] == ["2", "2", "1"]
    record = json.loads(Path("out/run.json").read_text())
    assert record["command"][1] == "evaluate"
    assert set(record["supports"]["bodies"]) == {"k=2"}
    with Image.open("out/sheet.png") as sheet:
        assert sheet.width > 600
    assert not Path("out/tokens").exists()


def test_a_precision_that_is_not_to_be_had_here_is_refused_before_anything_is_written(
    cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediclip_dicom.cli.detector.evaluate.open_backbone", open_backbone)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    asked = ("--data", data, "--precision", "int8", *UNTRAINED, "--out", "out")
    said = cli("evaluate", *asked, "--preset", "quick", "--k", "2", "--seeds", "0")
    assert said.code != 0
    assert "no tower in int8: this CPU has no instructions" in said.err
    assert not Path("out").exists()


def test_a_backbone_without_prompts_has_no_zero_shot_baseline(
    cli: Cli, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dinov2 = read_architecture("timm/vit_small_patch14_dinov2", tag=None)
    assert dinov2 is not None
    small = random_backbone(dinov2)
    monkeypatch.setattr("mediclip_dicom.cli.detector.evaluate.open_backbone", lambda _: small)
    arguments = ("--data", data, "--preset", "quick", "--k", "2", "--seeds", "0")
    said = cli("evaluate", *arguments, "--no-operating-point", "--out", "out")
    assert said.code == 0, said.err
    rows = json.loads(Path("out/metrics.json").read_text())
    assert {row["method"] for row in rows} == {"mediclip", "nearest-neighbour"}


@pytest.mark.parametrize(
    "typed",
    ["--k 4,8,16 --out o", "--k 4,8 --k 16 --out o", "--k 4 --out o --k 8,16,4"],
)
def test_several_numbers_may_be_typed_with_commas_or_by_repeating_the_option(typed: str) -> None:
    seen: list[tuple[tuple[int, ...], str]] = []
    app = typer.Typer()

    @app.command()
    def command(
        k: Annotated[list[Numbers], typer.Option("--k", parser=parse_support_sizes)],
        out: Annotated[str, typer.Option()],
    ) -> None:
        seen.append((flatten(k), out))

    app(typed.split(), standalone_mode=False)
    assert seen == [((4, 8, 16), "o")]


def test_the_command_given_again_computes_nothing_anew(cli: Cli, data: Path) -> None:
    arguments = ("evaluate", "--data", data, "--preset", "quick", "--k", "2", "--seeds", "0")
    assert cli(*arguments, "--no-baselines", "--out", "out", "--cache", "kept").code == 0
    before = Path("out/metrics.json").read_bytes()
    assert len(list(Path("kept").glob("*.npy"))) == 1
    said = cli(*arguments, "--no-baselines", "--out", "out")
    assert said.code == 0
    assert "mediclip (quick)" in said.text
    assert Path("out/metrics.json").read_bytes() == before


def test_without_an_operating_point_nothing_is_promised(cli: Cli, data: Path) -> None:
    arguments = ("evaluate", "--data", data, "--preset", "quick", "--k", "2", "--seeds", "0")
    said = cli(*arguments, "--no-baselines", "--no-operating-point", "--out", "out")
    assert said.code == 0
    assert "bodies, mediclip (quick), k = 2, seed 0: image-AUROC" in said.text
    (row,) = json.loads(Path("out/metrics.json").read_text())
    assert (row["fpr_promised"], row["fpr_seen"], row["sensitivity"]) == (None, None, None)
    assert "FPR promised" not in Path("out/table.md").read_text()


def test_another_subset_needs_another_folder(cli: Cli, data: Path) -> None:
    lines = ["path,label,subset"]
    lines += [f"normal/n{n:02d}.png,0,{part}" for n, part in enumerate(["pool"] * 3 + ["test"])]
    lines += ["normal/n04.png,0,dev", "abnormal/a100.png,1,test", "abnormal/a101.png,1,dev"]
    (data / "bodies.csv").write_text("\n".join(lines))
    chosen = ("evaluate", "--data", data / "bodies.csv", "--k", "2", "--seeds", "0")
    arguments = (*chosen, "--preset", "quick", "--no-baselines", "--out", "out")
    assert cli(*arguments, "--subset", "dev").code == 0
    said = cli(*arguments)
    assert said.code == 1
    assert "another run (different: subset)" in said.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "out"), "name data with --data or --split"),
        (("--data", "none", "--out", "out"), "none is neither a folder nor a .csv table"),
        (("--data", "bodies", "--preset", "best", "--out", "out"), "no preset 'best'"),
        (("--data", "bodies", "--k", "few", "--out", "out"), "whole numbers are needed"),
        (("--data", "bodies", "--k", "1", "--out", "out"), "at least 2"),
        (("--data", "bodies", "--seeds", "-1", "--out", "out"), "at least 0"),
        (("--split", "bodies/a.json", "--out", "out"), "give it with --root"),
        (("--split", "none.json", "--root", ".", "--out", "out"), "there is no file none.json"),
        (("--data", "bodies", "--subset", "train", "--out", "out"), "train"),
        (("--data", "bodies", "--false-positive-rate", "0", "--out", "out"), "between 0 and 1"),
        (("--data", "bodies"), "--out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_ends_with_2_and_makes_nothing(
    cli: Cli, data: Path, arguments: tuple[str, ...], said: str
) -> None:
    preset = () if "--preset" in arguments else ("--preset", "quick")
    found = cli("evaluate", *preset, *arguments)
    assert found.code == 2
    assert said in found.text
    assert not Path("out").exists()


def test_what_the_data_do_not_allow_ends_with_1_and_names_it(cli: Cli, data: Path) -> None:
    def evaluate(*more: object) -> str:
        arguments = ("--preset", "quick", "--seeds", "0", "--no-baselines", "--out", "out")
        found = cli("evaluate", "--data", data, *arguments, *more)
        assert found.code == 1
        assert "Traceback" not in found.text
        return found.text

    assert "k = 16, but data set 'bodies' has only 4 normal pictures" in evaluate("--k", "16")
    assert "'bodies' has no dev pictures" in evaluate("--k", "2", "--subset", "dev")
    save(data / "abnormal" / "a100_mask.png", blob(1)[:20])
    assert "a mask must have its picture's size" in evaluate("--k", "2")
    (data / "abnormal" / "a100_mask.png").unlink()
    (data / "abnormal" / "a100.png").write_text("no picture")
    assert "a100.png can't be read as a picture" in evaluate("--k", "2")
    for path in (data / "abnormal").iterdir():
        path.unlink()
    assert "holds no pictures" in evaluate("--k", "2")


def small_paper(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """The paper's data sets, with fewer pictures tested."""
    from dataclasses import replace

    from ai_core.evaluation.report import paper

    sets = tuple(
        replace(one, test_normal=3, test_abnormal=2) for one in (paper.BRAIN_MRI, paper.BUSI)
    )
    monkeypatch.setattr(paper, "PAPER_SETS", sets)
    monkeypatch.setattr(paper, "BRAIN_MRI", sets[0])
    for number, one in enumerate(sets):
        make_folder(root / one.name, normals=20, abnormals=3, first=number * 50)


def test_reproduce_shows_the_papers_figures_beside_ours(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_paper(monkeypatch, tmp_path / "papers")
    arguments = ("--root", "papers", "--preset", "quick", "--seeds", "0", "--out", "out")
    said = cli("reproduce", "table3", *arguments)
    assert said.code == 0, said.err
    assert "they do not compare" in said.text
    table = Path("out/table3.md").read_text()
    assert "|  | BrainMRI | BUSI |" in table
    assert "(94.8)" in table
    assert "(84.8)" in table
    assert "–" not in table.split("they do not compare")[0]
    rows = json.loads(Path("out/metrics.json").read_text())
    assert {(row["fitted_on"], row["dataset"]) for row in rows} == {
        *(("BrainMRI", "BrainMRI"), ("BrainMRI", "BUSI")),
        *(("BUSI", "BrainMRI"), ("BUSI", "BUSI")),
    }


def test_a_missing_data_set_is_wrong_usage_and_says_what_is_expected_where(
    cli: Cli, data: Path
) -> None:
    said = cli("reproduce", "table1", "--root", ".", "--preset", "quick", "--out", "out")
    assert said.code == 2
    assert "CheXpert/{normal,abnormal} with more than 250 normal and at least 250" in said.text
    assert "BUSI/{normal,benign,malignant}" in said.text
    said = cli("reproduce", "table5", "--root", ".", "--preset", "quick", "--dataset", "BUSI")
    assert said.code == 2
    assert "table5 is about BrainMRI, not BUSI" in said.text
    assert cli("reproduce", "table9", "--root", ".").code == 2


def test_promised_and_seen_rates_are_tabled_and_drawn(cli: Cli, data: Path) -> None:
    said = cli(
        *("evaluate", "--data", data, "--preset", "quick", "--k", "4", "--seeds", "0,1"),
        *("--no-baselines", "--false-positive-rate", "0.3", "--out", "out"),
    )
    assert said.code == 0
    assert "operating points" in said.text
    table = Path("out/table.md").read_text(encoding="utf-8")
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    start = next(at for at, line in enumerate(lines) if "FPR asked" in line)
    assert len({line.count("|") for line in lines[start:]}) == 1
    rates = [line.split(" | ")[4] for line in lines[start:]]
    assert rates == ["FPR asked %", "---", "30.0", "5.0", "10.0", "20.0"]
    picture = Path("out/reliability.png")
    assert "reliability.png" in said.text
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 200
