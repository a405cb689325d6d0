"""Means and deviations over seeds, as text and as numbers."""

import csv
import io
from dataclasses import replace

import pytest

from ai_core.evaluation import Row, cells_of, to_csv, to_markdown
from ai_core.evaluation.report.table import spread

ROW = Row(
    dataset="brain",
    fitted_on="brain",
    preset="default",
    method="mediclip",
    geometry="pad",
    k=16,
    seed=0,
    image_auroc=0.9,
    image_auroc_of_max=0.88,
    pixel_auroc=None,
    aupro=None,
    sensitivity=0.5,
    fpr_promised=0.0588,
    fpr_seen=0.1,
    fit_seconds=12.0,
    images_per_second=7.5,
    identity="a",
)


def column(rows: list[Row], title: str) -> list[str]:
    titles, body = cells_of(rows)
    return [line[titles.index(title)] for line in body]


def test_a_line_is_the_mean_and_deviation_over_seeds() -> None:
    rows = [replace(ROW, seed=n, image_auroc=value) for n, value in enumerate((0.9, 0.92, 0.94))]
    assert column(rows, "image AUROC %") == ["92.0 ± 2.0"]
    assert column(rows, "seeds") == ["3"]


def test_other_k_preset_and_method_are_lines_of_their_own() -> None:
    other = [replace(ROW, k=8), replace(ROW, preset="paper"), replace(ROW, geometry="stretch")]
    zero = replace(ROW, method="zero-shot", preset=None, k=0, fpr_promised=None)
    assert len(cells_of([ROW, *other, zero])[1]) == 5
    assert column([ROW, zero], "k") == ["16", "–"]
    assert column([ROW, zero], "FPR promised %") == ["5.9", "–"]
    assert column([ROW, zero], "method") == ["mediclip (default)", "zero-shot (pad)"]


def test_figures_that_nobody_has_take_no_column() -> None:
    assert "pixel AUROC %" not in cells_of([ROW])[0]
    assert "fitted on" not in cells_of([ROW])[0]
    both = [ROW, replace(ROW, dataset="busi", aupro=0.7)]
    assert column(both, "AUPRO %") == ["–", "70.0"]
    assert column([replace(ROW, fitted_on="busi")], "fitted on") == ["busi"]


def test_the_csv_holds_plain_numbers() -> None:
    rows = [replace(ROW, seed=n, image_auroc=value) for n, value in enumerate((0.9, 0.94))]
    (line,) = csv.DictReader(io.StringIO(to_csv(rows)))
    assert float(line["image_auroc_mean"]) == pytest.approx(0.92)
    assert float(line["image_auroc_sd"]) == pytest.approx(0.0282843, rel=1e-4)
    assert line["aupro_mean"] == ""


def test_markdown_keeps_bars_within_cells() -> None:
    assert to_markdown(["a|b"], [["c"]]).splitlines() == ["| a\\|b |", "| --- |", "| c |"]


def test_nothing_has_no_spread() -> None:
    assert spread([None, None]) is None
    one = spread([None, 0.5])
    assert one is not None
    assert one.text(scale=100) == "50.0"


def test_the_numbers_of_tested_pictures_stand_in_every_table() -> None:
    row = replace(ROW, normals=12, abnormals=30)
    assert column([row], "n") == ["12 + 30"]
    (line,) = csv.DictReader(io.StringIO(to_csv([row])))
    assert line["n"] == "12 + 30"
    assert column([ROW], "n") == ["–"]  # a row of version 0.1
