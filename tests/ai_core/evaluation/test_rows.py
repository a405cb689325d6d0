"""A run's folder keeps what was made, and never mixes two runs."""

import json
import resource
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from ai_core.errors import EvaluationError
from ai_core.evaluation import RunFolder, one_run
from tests.ai_core.evaluation.report.test_table import ROW

SAME = {"backbone_sha256": "abc", "subset": "test"}


def test_rows_are_there_again_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "new" / "out", same=SAME, record={"seeds": [0]})
    folder.add(ROW)
    folder.add(replace(ROW, seed=1, identity="b"))
    again = RunFolder(tmp_path / "new" / "out", same=SAME, record={"seeds": [0, 1]})
    assert again.rows == folder.rows
    assert again.has("a")
    assert not again.has("c")
    assert json.loads((again.path / "run.json").read_text()) == {"same": SAME, "seeds": [0, 1]}
    assert not list(again.path.glob("*.partial"))


def test_a_row_made_anew_replaces_the_older_one(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, same=SAME, record={})
    folder.add(ROW)
    folder.add(replace(ROW, identity="newer", image_auroc=0.5))
    assert [row.image_auroc for row in folder.rows] == [0.5]


def test_another_backbone_is_another_folder(tmp_path: Path) -> None:
    RunFolder(tmp_path, same=SAME, record={}).add(ROW)
    with pytest.raises(EvaluationError, match=r"another run \(different: backbone_sha256\)"):
        RunFolder(tmp_path, same={**SAME, "backbone_sha256": "xyz"}, record={})
    assert json.loads((tmp_path / "run.json").read_text())["same"] == SAME


def test_files_that_are_no_runs_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"mine": 1}')
    with pytest.raises(EvaluationError, match=r"metrics\.json can't be read as the figures"):
        RunFolder(tmp_path, same=SAME, record={})
    assert (tmp_path / "metrics.json").read_text() == '{"mine": 1}'


def test_two_runs_in_one_folder_keep_each_others_rows(tmp_path: Path) -> None:
    first = RunFolder(tmp_path, same={}, record={})
    second = RunFolder(tmp_path, same={}, record={})
    one, other = replace(ROW, identity="one"), replace(ROW, seed=1, identity="other")
    first.add(one)
    second.add(other)
    assert RunFolder(tmp_path, same={}, record={}).rows == (one, other)
    assert first.has("other")
    first.add(replace(ROW, seed=1, identity="newer"))
    assert second.row("other") == other


def test_a_second_run_in_a_folder_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with (
        one_run(tmp_path / "out"),
        pytest.raises(EvaluationError, match="another run is writing"),
        one_run(tmp_path / "out"),
    ):
        pass
    assert not (tmp_path / "out").exists()
    with one_run(tmp_path / "out"):
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".run.lock"]
        (tmp_path / "out" / "table.md").write_text("figures")
    assert (tmp_path / "out" / "table.md").exists()


def test_a_folder_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(EvaluationError, match=r"file.* can't be written"), one_run(folder):
            pass
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with pytest.raises(EvaluationError, match=r"ulimit -f"), one_run(tmp_path / "out"):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
