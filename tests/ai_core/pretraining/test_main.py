"""The command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_core import load_backbone
from ai_core.pretraining.__main__ import main


def command(images: Path, out: Path, tiny, *more: str) -> list[str]:
    return [
        "--teacher-model", str(tiny.config), "--teacher-weights", str(tiny.weights),
        "--images", str(images), "--out", str(out), "--steps", "2", "--batch", "2",
        "--report-every", "1", *more,
    ]  # fmt: skip


def test_it_leaves_a_backbone_and_says_how_far_it_is(images, tiny, tmp_path, capsys):
    assert main(command(images, tmp_path / "out", tiny)) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(tmp_path / "out")
    assert "8 pictures, 8 used, 0 excluded" in said.err
    assert "step 2 of 2: loss" in said.err
    student = load_backbone(
        str(tmp_path / "out" / "student.json"), str(tmp_path / "out" / "student.safetensors")
    )
    assert student.width == 320


def test_an_error_is_one_line(images, tiny, tmp_path, capsys):
    assert main(command(images, tmp_path, tiny, "--exclude", str(tmp_path / "gone.txt"))) == 1
    assert "gone.txt can't be read" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--steps", "0"), ("--batch", "none")])
def test_a_wrong_number_is_refused(images, tiny, tmp_path, wrong, capsys):
    with pytest.raises(SystemExit):
        main(command(images, tmp_path, tiny, *wrong))
    assert wrong[0] in capsys.readouterr().err
