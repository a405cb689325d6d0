"""The paper's tables: the cells that they need, and our figures next to the paper's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ai_core.errors import EvaluationError
from ai_core.evaluation.data import Dataset
from ai_core.evaluation.methods import Mediclip, Method, baselines_for
from ai_core.evaluation.plan import Plan
from ai_core.evaluation.report.paper import (
    ABLATION,
    BEST_OTHER,
    BY_K,
    SINGLE_TASKS,
    TABLE_K,
    TABLE_KS,
    TRANSFER,
    TableName,
)
from ai_core.evaluation.report.table import spread
from ai_core.evaluation.rows import Row
from ai_core.fitting import MOST_FOLDS
from ai_core.presets import Preset


@dataclass(frozen=True, slots=True)
class PaperCell:
    """A table's cell: the rows that it is the mean of, and the paper's figure.

    Attributes:
        line: title of the table's row.
        column: title of its column.
        field: figure of `Row`.
        dataset: tested.
        fitted_on: where the support set came from.
        method: a `Method`'s name, or "" for a method of the paper that was not run.
        preset: of MediCLIP.
        k: support size; 0 for none.
        paper: the paper's figure in per cent as text, or "" where it has none.
    """

    line: str
    column: str
    field: str
    dataset: str
    fitted_on: str
    method: str
    preset: str | None
    k: int
    paper: str

    def text(self, rows: Sequence[Row]) -> str:
        """Return our figure, and the paper's in brackets."""
        found = spread(
            getattr(row, self.field)
            for row in rows
            if (row.dataset, row.fitted_on, row.method, row.k)
            == (self.dataset, self.fitted_on, self.method, self.k)
            and row.preset == self.preset
        )
        ours = found.text(scale=100) if found else "–"
        return f"{ours} ({self.paper})" if self.paper else ours


def make_plan(
    table: TableName,
    datasets: Sequence[Dataset],
    *,
    presets: Sequence[Preset],
    baselines: bool,
    seeds: Sequence[int],
    rate: float,
    folds: int = MOST_FOLDS,
) -> Plan:
    """Plan the cells that a table needs.

    Raises:
        PresetError: the table needs a choice that presets don't have.
    """
    variants = [variant for preset in presets for variant in variants_of(table, preset)]
    methods: list[Method] = [Mediclip(preset, folds=folds) for preset in variants]
    if baselines and table in ("table1", "table2"):
        methods += baselines_for(presets)
    return Plan(
        datasets=tuple(datasets),
        methods=tuple(methods),
        ks=TABLE_KS if table == "table2" else (TABLE_K,),
        seeds=tuple(seeds),
        rate=rate,
        transfer=table == "table3",
    )


def variants_of(table: TableName, preset: Preset) -> tuple[Preset, ...]:
    """Return the presets that a table compares; the plain one comes last."""
    if table == "table4":
        return tuple(_ablated(preset, what) for what in ABLATION)
    if table == "table5":
        return tuple(_single_task(preset, task) for task in SINGLE_TASKS)
    return (preset,)


def paper_cells(table: TableName, datasets: Sequence[str], plan: Plan) -> tuple[PaperCell, ...]:
    """Return every cell of a table, row by row."""
    make = {
        "table1": _comparison,
        "table2": _support_sizes,
        "table3": _transfer,
        "table4": _variants,
        "table5": _variants,
    }[table]
    return tuple(make(table, datasets, plan))


def pivot(
    cells: Sequence[PaperCell], rows: Sequence[Row]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and texts of the table."""
    columns = tuple(dict.fromkeys(cell.column for cell in cells))
    texts: dict[str, dict[str, str]] = {}
    for cell in cells:
        texts.setdefault(cell.line, {})[cell.column] = cell.text(rows)
    body = tuple(
        (line, *(found.get(column, "") for column in columns)) for line, found in texts.items()
    )
    return ("", *columns), body


def _ablated(preset: Preset, what: str) -> Preset:
    if not what:
        return preset
    ablated = replace(preset, name=f"{preset.name}, {what}")
    if "no learnable token" in what:
        ablated = replace(ablated, prompts=replace(preset.prompts, context=0))
    if "no adapter" in what:
        ablated = replace(ablated, adapter=False)
    return ablated


def _single_task(preset: Preset, task: str) -> Preset:
    if not task:
        return preset
    if task not in preset.synthesis.tasks:
        raise EvaluationError(f"preset {preset.name!r} has no synthesis task {task!r}")
    synthesis = replace(preset.synthesis, tasks=(task,))
    return replace(preset, name=f"{preset.name}, {task} alone", synthesis=synthesis)


def _measures(datasets: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return title, data set and field of each figure that the paper gives."""
    titles = {"image_auroc": "", "pixel_auroc": ", pixel"}
    return [(name + titles[field], name, field) for name, field in BY_K if name in datasets]


def _line(method: Method) -> str:
    return f"{method.name} ({method.preset_name or method.geometry})"


def _comparison(_: TableName, datasets: Sequence[str], plan: Plan) -> list[PaperCell]:
    cells = []
    for method in plan.methods:
        for title, dataset, field in _measures(datasets):
            paper = ""
            if method.name == "mediclip":
                paper = f"{BY_K[dataset, field][TABLE_KS.index(TABLE_K)]}"
            cells.append(_cell(_line(method), title, field, dataset, method, paper=paper))
    for title, dataset, field in _measures(datasets):
        cells.append(
            PaperCell(
                line="best other method of the paper",
                column=title,
                field=field,
                dataset=dataset,
                fitted_on=dataset,
                method="",
                preset=None,
                k=TABLE_K,
                paper=BEST_OTHER[dataset, field],
            )
        )
    return cells


def _support_sizes(_: TableName, datasets: Sequence[str], plan: Plan) -> list[PaperCell]:
    return [
        _cell(
            f"{title}: {_line(method)}",
            f"k = {k}",
            field,
            dataset,
            method,
            k=k if method.fits else 0,
            paper=f"{BY_K[dataset, field][column]}" if method.name == "mediclip" else "",
        )
        for title, dataset, field in _measures(datasets)
        for method in plan.methods
        for column, k in enumerate(TABLE_KS)
    ]


def _transfer(_: TableName, datasets: Sequence[str], plan: Plan) -> list[PaperCell]:
    own = {name: by_k[TABLE_KS.index(TABLE_K)] for (name, f), by_k in BY_K.items() if f[0] == "i"}
    return [
        _cell(
            f"{source}: {_line(method)}",
            tested,
            "image_auroc",
            tested,
            method,
            fitted_on=source,
            paper=f"{own[source] if source == tested else TRANSFER[source, tested]}",
        )
        for source in datasets
        for method in plan.methods
        for tested in datasets
    ]


def _variants(table: TableName, datasets: Sequence[str], plan: Plan) -> list[PaperCell]:
    whats = list(ABLATION) if table == "table4" else list(SINGLE_TASKS)
    cells = []
    for number, method in enumerate(plan.methods):
        what = whats[number % len(whats)]
        for dataset in datasets:
            paper = ABLATION[what][dataset] if table == "table4" else SINGLE_TASKS[what]
            cells.append(
                _cell(_line(method), dataset, "image_auroc", dataset, method, paper=f"{paper}")
            )
    return cells


def _cell(
    line: str,
    column: str,
    field: str,
    dataset: str,
    method: Method,
    *,
    paper: str,
    k: int = TABLE_K,
    fitted_on: str | None = None,
) -> PaperCell:
    return PaperCell(
        line=line,
        column=column,
        field=field,
        dataset=dataset,
        fitted_on=fitted_on or dataset,
        method=method.name,
        preset=method.preset_name,
        k=k if method.fits else 0,
        paper=paper,
    )
