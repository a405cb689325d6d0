"""The paper's tables: its split sizes, its figures, and ours in the right cells."""

from dataclasses import replace
from pathlib import Path

import pytest

from ai_core.errors import EvaluationError
from ai_core.evaluation import Dataset
from ai_core.evaluation.report.paper import (
    BRAIN_MRI,
    BUSI,
    CHEXPERT,
    PAPER_SETS,
    PaperSet,
    needed_sets,
)
from ai_core.evaluation.report.paper_tables import (
    PaperCell,
    make_plan,
    paper_cells,
    pivot,
    variants_of,
)
from tests.ai_core.evaluation.pictures import QUICK, make_folder
from tests.ai_core.evaluation.report.test_table import ROW

NAMES = [one.name for one in PAPER_SETS]
SETS = [Dataset(name=name, pool=(), test=()) for name in NAMES]


def cells(table: str, *, baselines: bool = False) -> tuple[PaperCell, ...]:
    plan = make_plan(
        table,  # type: ignore[arg-type]
        SETS,
        presets=[QUICK],
        baselines=baselines,
        seeds=[0],
        rate=0.05,
    )
    return paper_cells(table, NAMES, plan)  # type: ignore[arg-type]


def papers(table: str) -> dict[tuple[str, str], str]:
    return {(cell.line, cell.column): cell.paper for cell in cells(table)}


def test_the_comparison_has_ours_the_papers_and_the_best_other() -> None:
    found = papers("table1")
    assert found["mediclip (quick)", "BrainMRI"] == "94.8"
    assert found["mediclip (quick)", "BUSI, pixel"] == "89.9"
    assert found["best other method of the paper", "CheXpert"] == "SQUID 67.6"
    lines = {cell.line for cell in cells("table1", baselines=True)}
    assert {"nearest-neighbour (pad)", "zero-shot (pad)"} < lines


def test_support_sizes_and_transfer_and_single_tasks() -> None:
    assert papers("table2")["BrainMRI: mediclip (quick)", "k = 4"] == "94.1"
    assert papers("table2")["BUSI, pixel: mediclip (quick)", "k = 32"] == "90.1"
    assert papers("table3")["CheXpert: mediclip (quick)", "BUSI"] == "88.8"
    assert papers("table3")["BUSI: mediclip (quick)", "BUSI"] == "89.9"
    assert needed_sets("table5") == (BRAIN_MRI,)
    plan = make_plan("table5", SETS[1:2], presets=[QUICK], baselines=True, seeds=[0], rate=0.05)
    single = {cell.line: cell.paper for cell in paper_cells("table5", ["BrainMRI"], plan)}
    assert single == {
        "mediclip (quick, cutpaste alone)": "94.8",
        "mediclip (quick, intensity alone)": "94.0",
        "mediclip (quick, source alone)": "92.2",
        "mediclip (quick)": "94.8",
    }


def test_a_cell_takes_the_rows_of_its_own_and_no_others() -> None:
    (cell,) = [c for c in cells("table3") if (c.fitted_on, c.dataset) == ("BUSI", "CheXpert")]
    ours = replace(ROW, dataset="CheXpert", fitted_on="BUSI", preset="quick")
    others = [
        replace(ours, fitted_on="CheXpert", image_auroc=0.1),
        replace(ours, k=8, image_auroc=0.1),
        replace(ours, preset="paper", image_auroc=0.1),
        replace(ours, method="nearest-neighbour", preset=None, image_auroc=0.1),
    ]
    assert cell.text([ours, *others]) == "90.0 (70.7)"
    assert cell.text(others) == "– (70.7)"
    titles, body = pivot(cells("table3"), [ours])
    assert titles == ("", "CheXpert", "BrainMRI", "BUSI")
    assert body[2] == ("BUSI: mediclip (quick)", "90.0 (70.7)", "– (91.3)", "– (89.9)")


def test_the_ablation_leaves_out_token_adapter_and_both() -> None:
    variants = variants_of("table4", QUICK)
    assert [(one.prompts.context, one.adapter) for one in variants] == [
        (0, False),
        (QUICK.prompts.context, False),
        (0, True),
        (QUICK.prompts.context, True),
    ]
    assert len({one.name for one in variants}) == 4
    found = papers("table4")
    assert found["mediclip (quick, no adapter)", "BrainMRI"] == "71.8"
    assert found["mediclip (quick)", "BUSI"] == "90.8"


def test_a_single_task_is_the_only_one_drawn() -> None:
    found = [variant.synthesis.tasks for variant in variants_of("table5", QUICK)]
    assert found[:3] == [("cutpaste",), ("intensity",), ("source",)]
    assert found[3] == QUICK.synthesis.tasks


def test_a_preset_without_a_task_has_no_single_task_table() -> None:
    poor = replace(QUICK, synthesis=replace(QUICK.synthesis, tasks=("cutpaste",)))
    with pytest.raises(EvaluationError, match="has no synthesis task 'intensity'"):
        variants_of("table5", poor)


@pytest.mark.parametrize("layout", range(2))
@pytest.mark.parametrize("folder", ["busi", "BUSI"])
def test_a_data_set_is_found_in_any_case_and_in_its_own_layout(
    tmp_path: Path, layout: int, folder: str
) -> None:
    small = replace(BUSI, test_normal=6, test_abnormal=3)
    root = make_folder(tmp_path / folder)
    if layout == 0:
        (root / "abnormal").rename(root / "benign")
        make_folder(root / "more", normals=1, abnormals=2, first=300)
        (root / "more" / "abnormal").rename(root / "malignant")
    data = small.read(tmp_path)
    assert data is not None
    assert data.name == "BUSI"
    assert (len(data.pool), len(data.test)) == (4, 9)


def test_what_is_expected_where_is_told(tmp_path: Path) -> None:
    assert CHEXPERT.read(tmp_path) is None
    assert BUSI.expected.startswith("BUSI/{normal,benign,malignant} or {normal,abnormal} with more")
    assert PaperSet("X", layouts=(), test_normal=1, test_abnormal=1).read(tmp_path / "none") is None


def test_the_papers_split_of_the_real_data(shared_data: Path) -> None:
    brain = BRAIN_MRI.read(shared_data)
    assert brain is not None
    assert (len(brain.pool), len(brain.test)) == (33, 220)
    busi = BUSI.read(shared_data)
    assert busi is not None
    assert (len(busi.pool), len(busi.test)) == (32, 748)
