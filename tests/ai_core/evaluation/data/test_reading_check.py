"""Every listed picture and mask is read before anything is fitted, and all faults are named."""

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from ai_core import Backbone
from ai_core.errors import EvaluationError
from ai_core.evaluation import Item, from_folder
from ai_core.evaluation.data import check_items
from tests.ai_core.evaluation.pictures import COLUMNS, ROWS, make_folder, save
from tests.ai_core.evaluation.test_run import quick_plan, run, silent


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def test_a_truncated_test_picture_is_found_before_the_first_fit(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_folder(tmp_path / "data")
    plan = quick_plan(data)
    truncate(plan.datasets[0].test[-1].path)
    save(data / "abnormal" / "a100_mask.png", np.zeros((3, 4)))
    fits: list[object] = []
    monkeypatch.setattr("ai_core.evaluation.run._fit", lambda *a, **k: fits.append(a))
    with pytest.raises(EvaluationError, match=r"2 faults.*a100_mask\.png is 3x4.*a103\.png"):
        run(plan, tmp_path / "out", backbone)
    assert not fits


def test_a_mask_that_covers_its_picture_is_questioned(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    save(data / "abnormal" / "a100_mask.png", np.full((ROWS, COLUMNS), 255))
    save(data / "abnormal" / "a101_mask.png", np.zeros((ROWS, COLUMNS)))
    with capture_logs() as events:
        check_items(from_folder(data).test, report=silent)
    assert [(event["event"], Path(event["mask"]).name) for event in events] == [
        ("mask.covers_picture", "a100_mask.png"),
        ("mask.is_empty", "a101_mask.png"),
    ]


def test_many_faults_are_counted_and_the_first_named(tmp_path: Path) -> None:
    items = []
    for n in range(8):
        (tmp_path / f"x{n}.png").write_bytes(b"no picture")
        items.append(Item(tmp_path / f"x{n}.png", abnormal=False))
    with pytest.raises(EvaluationError, match=r"8 faults in 8 pictures.*x4\.png.*and 3 more"):
        check_items(items, report=silent)


def test_kinds_that_are_not_read_are_counted_and_named(tmp_path: Path) -> None:
    data = make_folder(tmp_path / "data")
    for name in ("one.webp", "two.webp", "three.gif", "notes.txt", ".DS_Store"):
        (data / "normal" / name).write_bytes(b"x")
    with capture_logs() as events:
        found = from_folder(data)
    assert found.made.endswith("3 files left out, of kinds that are not read: .gif (1), .webp (2)")
    [event] = [one for one in events if one["event"] == "pictures.left_out"]
    assert event["kinds"] == ".gif (1), .webp (2)"
