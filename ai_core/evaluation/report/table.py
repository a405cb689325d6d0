"""Result tables: mean and standard deviation over seeds."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from ai_core.evaluation.rows import Row


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation over seeds; 0 for a single one."""

    mean: float
    deviation: float
    count: int

    def text(self, *, scale: float = 1.0, digits: int = 1) -> str:
        """Format as "94.8 ± 0.6"; without a deviation for a single value."""
        mean = f"{self.mean * scale:.{digits}f}"
        return f"{mean} ± {self.deviation * scale:.{digits}f}" if self.count > 1 else mean


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the table."""

    field: str
    title: str
    scale: float = 1.0
    digits: int = 1


COLUMNS = (
    Column("image_auroc", "image AUROC %", 100),
    Column("image_auroc_of_max", "of the maximum %", 100),
    Column("pixel_auroc", "pixel AUROC %", 100),
    Column("aupro", "AUPRO %", 100),
    Column("sensitivity", "sensitivity %", 100),
    Column("sensitivity_of_oracle", "of the oracle %", 100),
    Column("fpr_promised", "FPR promised %", 100),
    Column("fpr_seen", "FPR seen %", 100),
    Column("normal_out_of_scope", "normal out of scope %", 100),
    Column("abnormal_out_of_scope", "abnormal out of scope %", 100),
    Column("fit_seconds", "fit s"),
    Column("images_per_second", "images/s"),
)

SHORT = tuple(
    column
    for column in COLUMNS
    if column.field
    not in (
        "image_auroc_of_max",
        "normal_out_of_scope",
        "abnormal_out_of_scope",
        "fit_seconds",
        "images_per_second",
    )
)
"""Columns that fit on a terminal."""

_KEYS = ("dataset", "fitted on", "method", "k", "seeds")


@dataclass(frozen=True, slots=True)
class Line:
    """The rows of all seeds of a cell.

    Attributes:
        dataset: tested.
        fitted_on: where the support sets came from.
        method: with its preset, or the geometry that a baseline was run in.
        k: support pictures; 0 for none.
        seeds: how many rows there are.
        tested: tested pictures, "normal + abnormal"; empty in rows of version 0.1.
        figures: by field of `Row`; None where no row has it.
    """

    dataset: str
    fitted_on: str
    method: str
    k: int
    seeds: int
    tested: str
    figures: dict[str, Spread | None]


def spread(values: Iterable[float | None]) -> Spread | None:
    """Compute mean and deviation of the values that are not None; None if there are none."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return Spread(fmean(there), stdev(there) if len(there) > 1 else 0.0, len(there))


def lines_of(rows: Sequence[Row]) -> tuple[Line, ...]:
    """Group rows by everything but the seed, in the order of first sight."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.cell[:-1], []).append(row)
    return tuple(
        Line(
            dataset=group[0].dataset,
            fitted_on=group[0].fitted_on,
            method=method_title(group[0]),
            k=group[0].k,
            seeds=len(group),
            tested=tested_text(group[0]),
            figures={
                column.field: spread(getattr(row, column.field) for row in group)
                for column in COLUMNS
            },
        )
        for group in groups.values()
    )


def tested_text(row: Row) -> str:
    """Return the numbers of tested pictures, "normal + abnormal"; empty where they are unknown."""
    return "" if row.normals is None else f"{row.normals} + {row.abnormals}"


def method_title(row: Row) -> str:
    """Return the method with its preset, or with the geometry of a baseline."""
    return f"{row.method} ({row.preset or row.geometry})"


def cells_of(
    rows: Sequence[Row], *, columns: Sequence[Column] = COLUMNS
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and texts of the table, without empty columns."""
    lines = lines_of(rows)
    used = [column for column in columns if any(line.figures[column.field] for line in lines)]
    transfer = any(line.fitted_on != line.dataset for line in lines)
    keys = [key for key in _KEYS if transfer or key != "fitted on"]
    body = []
    for line in lines:
        values = {
            "dataset": line.dataset,
            "fitted on": line.fitted_on,
            "method": line.method,
            "k": str(line.k) if line.k else "–",
            "seeds": str(line.seeds) if line.k else "–",
        }
        figures = []
        for column in used:
            figure = line.figures[column.field]
            figures.append(figure.text(scale=column.scale, digits=column.digits) if figure else "–")
        body.append((*(values[key] for key in keys), *figures, line.tested or "–"))
    return (*keys, *(column.title for column in used), "n"), tuple(body)


def promise_cells(rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and texts of the operating points: promised and seen, for each rate.

    The band is that of one draw of as many normals; the tested normals are the same in each.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.points:
            groups.setdefault(row.cell[:-1], []).append(row)
    body = []
    for group in groups.values():
        for number, first in enumerate(group[0].points):
            if number and first.rate == group[0].points[0].rate:
                continue
            points = [row.points[number] for row in group]
            low, high = first.band
            texts = [
                spread(values)
                for values in zip(*((p.seen, p.sensitivity, p.oracle) for p in points), strict=True)
            ]
            body.append(
                (
                    group[0].dataset,
                    method_title(group[0]),
                    str(group[0].k),
                    str(len(group)),
                    f"{100 * first.rate:.1f}",
                    f"{100 * first.promised:.1f}",
                    f"{100 * low:.0f} to {100 * high:.0f}",
                    *(text.text(scale=100) if text else "" for text in texts),
                    tested_text(group[0]) or "–",
                )
            )
    titles = (
        *(
            "dataset",
            "method",
            "k",
            "draws",
            "FPR asked %",
            "promised %",
            "95 % band of one draw",
        ),
        *("seen %", "sensitivity %", "of the oracle %", "n"),
    )
    return titles, tuple(body)


def to_markdown(titles: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table."""
    head = [_markdown_row(titles), _markdown_row(["---"] * len(titles))]
    return "\n".join([*head, *(_markdown_row(row) for row in body)]) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Format CSV with means and deviations as plain numbers, in columns of their own."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            *("dataset", "fitted_on", "method", "k", "seeds"),
            *(f"{c.field}_{part}" for c in COLUMNS for part in ("mean", "sd")),
            "n",
        ]
    )
    for line in lines_of(rows):
        figures: list[str] = []
        for column in COLUMNS:
            figure = line.figures[column.field]
            figures += [f"{figure.mean:.6g}", f"{figure.deviation:.6g}"] if figure else ["", ""]
        writer.writerow(
            [
                *(line.dataset, line.fitted_on, line.method, line.k, line.seeds),
                *figures,
                line.tested,
            ]
        )
    return text.getvalue()


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
