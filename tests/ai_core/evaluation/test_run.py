"""A whole run: every cell a row, the tower sees a picture once, and a kill costs one cell."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from torch import Tensor

from ai_core import Backbone, Encoded
from ai_core.errors import EvaluationError
from ai_core.evaluation import (
    Look,
    Mediclip,
    NearestNeighbour,
    Plan,
    Row,
    RunFolder,
    ZeroShot,
    draw_sheet,
    from_csv,
    from_folder,
    run_plan,
)
from ai_core.evaluation.record import describe_run, resume_key
from tests.ai_core.evaluation.pictures import QUICK, make_folder

NN = NearestNeighbour("pad")


def quick_plan(root: Path, **changes: object) -> Plan:
    plan = Plan(
        datasets=(from_folder(root),),
        methods=(Mediclip(QUICK), NN, ZeroShot("pad")),
        ks=(4,),
        seeds=(0, 1),
        rate=0.3,
    )
    return replace(plan, **changes)  # type: ignore[arg-type]


def silent(stage: str, step: int, steps: int) -> None:
    """Nobody watches."""


def run(plan: Plan, out: Path, backbone: Backbone) -> tuple[Row, ...]:
    folder = RunFolder(
        out,
        same=resume_key(backbone, subset=plan.subset, look=plan.look),
        record=describe_run(plan, backbone=backbone, command=["test"]),
    )
    return run_plan(plan, backbone=backbone, folder=folder, cache=out / "tokens", report=silent)


def figures(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Everything but what the clock says."""
    timed = {"fit_seconds", "images_per_second"}
    return [{k: v for k, v in asdict(row).items() if k not in timed} for row in rows]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "bodies")


@pytest.fixture(scope="module")
def done(
    data: Path, tmp_path_factory: pytest.TempPathFactory, backbone: Backbone
) -> tuple[Path, tuple[Row, ...]]:
    out = tmp_path_factory.mktemp("out")
    return out, run(quick_plan(data), out, backbone)


def test_every_cell_is_a_row_with_its_figures(done: tuple[Path, tuple[Row, ...]]) -> None:
    rows = done[1]
    cells = [(row.method, row.preset, row.k, row.seed) for row in rows]
    assert cells == [
        ("mediclip", "quick", 4, 0),
        ("mediclip", "quick", 4, 1),
        ("nearest-neighbour", None, 4, 0),
        ("nearest-neighbour", None, 4, 1),
        ("zero-shot", None, 0, 0),
    ]
    for row in rows:
        assert 0 <= row.image_auroc <= 1
        assert row.pixel_auroc is not None
        assert row.aupro is not None
        assert row.images_per_second > 0
    assert [row.fpr_promised for row in rows] == [0.3, 0.3, 0.3, 0.3, None]
    assert rows[0].sensitivity is not None
    assert rows[4].fpr_seen is None


def test_bright_blobs_are_found_by_their_nearest_neighbours(
    done: tuple[Path, tuple[Row, ...]],
) -> None:
    row = done[1][2]
    assert row.image_auroc == 1
    assert row.pixel_auroc is not None
    assert row.pixel_auroc > 0.9
    assert row.sensitivity == 1


def test_the_record_says_what_was_done(done: tuple[Path, tuple[Row, ...]]) -> None:
    record = json.loads((done[0] / "run.json").read_text())
    assert record["same"]["backbone"] == "untrained"
    assert len(record["same"]["backbone_sha256"]) == 64
    assert record["same"]["subset"] == "test"
    (facts,) = record["datasets"].values()
    assert (facts["pool"], facts["normal"], facts["abnormal"], facts["with_mask"]) == (5, 5, 4, 4)
    supports = record["supports"]["bodies"]["k=4"]
    assert len(supports["seed=0"]) == 4
    assert supports["seed=0"] != supports["seed=1"]
    assert record["software"]["torch"]
    assert record["command"] == ["test"]


def test_the_tower_sees_a_tested_picture_once_for_all_cells(
    data: Path, tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    encode = Backbone.encode

    def counting(self: Backbone, images: Tensor) -> Encoded:
        seen.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Backbone, "encode", counting)
    plan = quick_plan(data, methods=(NN, ZeroShot("pad")), ks=(2,))
    run(plan, tmp_path, backbone)
    assert sum(seen) == 9 + 2 * 2
    seen.clear()
    run(replace(plan, ks=(3,), seeds=(0,)), tmp_path, backbone)
    assert sum(seen) == 3


def test_the_same_run_again_computes_nothing_and_says_the_same(
    done: tuple[Path, tuple[Row, ...]], data: Path, backbone: Backbone
) -> None:
    out, rows = done
    before = (out / "metrics.json").read_bytes()
    assert run(quick_plan(data), out, backbone) == rows
    assert (out / "metrics.json").read_bytes() == before


KILLED = """
import os, signal, sys
from pathlib import Path
from ai_core import load_backbone
from tests.ai_core.evaluation import test_run

def report(stage, step, steps):
    if stage == "rows" and step == 1:
        os.kill(os.getpid(), signal.SIGKILL)

test_run.silent = report
root, out = map(Path, sys.argv[1:])
plan = test_run.quick_plan(root, seeds=(0,))
test_run.run(plan, out, load_backbone(weights="untrained", device="cpu"))
"""


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(
    done: tuple[Path, tuple[Row, ...]], data: Path, tmp_path: Path, backbone: Backbone
) -> None:
    project = Path(__file__).parents[3]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(data), str(tmp_path)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    kept = json.loads((tmp_path / "metrics.json").read_text())
    assert len(kept) == 1
    rows = run(quick_plan(data, seeds=(0,)), tmp_path, backbone)
    assert json.loads(json.dumps(asdict(rows[0]))) == kept[0]
    assert figures(rows) == figures([row for row in done[1] if row.seed == 0])


@pytest.mark.parametrize("look", [Look(crop=True), Look(tiles=2), Look(crop=True, tiles=2)])
def test_crop_and_tiles_are_measured_in_a_folder_of_their_own(
    look: Look, data: Path, done: tuple[Path, tuple[Row, ...]], tmp_path: Path, backbone: Backbone
) -> None:
    plan = quick_plan(data, methods=(NN,), seeds=(0,), look=look)
    (row,) = run(plan, tmp_path, backbone)
    assert row.image_auroc == 1
    assert row.pixel_auroc is not None
    assert row.pixel_auroc > 0.9
    assert row.identity not in {other.identity for other in done[1]}
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["look"] == record["same"]["look"] == asdict(look)
    with pytest.raises(EvaluationError):
        run(quick_plan(data, methods=(NN,), seeds=(0,)), tmp_path, backbone)


def test_a_changed_picture_makes_its_rows_anew(tmp_path: Path, backbone: Backbone) -> None:
    root = make_folder(tmp_path / "data")
    plan = quick_plan(root, methods=(NN,), seeds=(0,))
    first = run(plan, tmp_path / "out", backbone)
    make_folder(root, normals=0, abnormals=1, first=500)
    changed = quick_plan(root, methods=(NN,), seeds=(0,))
    second = run(changed, tmp_path / "out", backbone)
    assert first[0].identity != second[0].identity
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text())) == 1


def test_without_masks_there_are_no_pixel_figures(tmp_path: Path, backbone: Backbone) -> None:
    root = make_folder(tmp_path / "data", masks=False)
    (row,) = run(quick_plan(root, methods=(NN,), seeds=(0,)), tmp_path / "out", backbone)
    assert (row.pixel_auroc, row.aupro) == (None, None)
    assert row.image_auroc == 1


def test_transfer_tests_each_fit_on_every_data_set(tmp_path: Path, backbone: Backbone) -> None:
    sets = tuple(
        from_folder(make_folder(tmp_path / name, first=n * 30), name=name)
        for n, name in enumerate(("one", "two"))
    )
    plan = Plan(datasets=sets, methods=(NN,), ks=(4,), seeds=(0,), transfer=True)
    rows = run(plan, tmp_path / "out", backbone)
    pairs = [(row.fitted_on, row.dataset) for row in rows]
    assert pairs == [("one", "one"), ("one", "two"), ("two", "one"), ("two", "two")]
    assert rows[0].identity != rows[2].identity


def test_a_promise_is_about_patients_where_they_are_known(
    tmp_path: Path, backbone: Backbone
) -> None:
    make_folder(tmp_path)
    lines = ["path,label,group,subset"]
    lines += [f"normal/n{n:02d}.png,normal,p{n // 2},pool" for n in range(4)]
    lines += [f"normal/n{n:02d}.png,normal,q{n},test" for n in range(4, 8)]
    lines += [f"abnormal/a{n}.png,abnormal,q9,test" for n in (100, 101)]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    plan = quick_plan(tmp_path, datasets=(from_csv(tmp_path / "data.csv"),), methods=(NN,))
    rows = run(plan, tmp_path / "out", backbone)
    assert rows[0].fpr_promised == pytest.approx(1 / 3)
    assert rows[0].sensitivity in (0, 1)


def test_a_plan_that_cannot_be_is_refused_before_anything_is_computed(data: Path) -> None:
    with pytest.raises(EvaluationError, match=r"k = 6, but data set 'bodies' has only 5"):
        quick_plan(data, ks=(4, 6)).fits()
    with pytest.raises(EvaluationError, match="k must be at least 2"):
        quick_plan(data, ks=(1,))
    with pytest.raises(EvaluationError, match="two data sets are both called bodies"):
        quick_plan(data, datasets=(from_folder(data), from_folder(data)))


def test_the_sheet_shows_image_map_and_truth_of_each_class(
    done: tuple[Path, tuple[Row, ...]], data: Path, tmp_path: Path
) -> None:
    from PIL import Image

    path = draw_sheet(done[0], [from_folder(data)], subset="test", caption="quick")
    assert path is not None
    with Image.open(path) as sheet:
        assert sheet.width > 600
        assert sheet.height > 6 * 200
    assert draw_sheet(tmp_path, [from_folder(data)], subset="test", caption="") is None
