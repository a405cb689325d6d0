"""`mediclip-dicom evaluate`: figures of merit of the detector on labelled pictures."""

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.progress import Progress

from ai_core import Backbone, Preset
from ai_core.evaluation import (
    PLAIN,
    SHORT,
    Dataset,
    Look,
    Mediclip,
    Method,
    Plan,
    Row,
    RunFolder,
    Subset,
    ZeroShot,
    ablations,
    baselines_for,
    cells_of,
    describe_run,
    draw_reliability,
    draw_sheet,
    from_csv,
    from_folder,
    from_split,
    method_title,
    one_run,
    promise_cells,
    resume_key,
    run_plan,
    to_csv,
    to_markdown,
)
from ai_core.files import write_text
from mediclip_dicom.cli.display import console, escape_markup, make_table, progress_bars
from mediclip_dicom.cli.options import get_preset_option
from mediclip_dicom.settings import BackboneSettings
from mediclip_dicom.tasks import open_backbone

TOKENS_FOLDER = "tokens"


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """Arguments of `mediclip-dicom evaluate`."""

    data: tuple[Path, ...]
    splits: tuple[Path, ...]
    root: Path | None
    presets: tuple[str, ...]
    ks: tuple[int, ...]
    seeds: tuple[int, ...]
    out: Path
    cache: Path | None
    subset: Subset
    baselines: bool
    ablate: bool
    false_positive_rate: float
    folds: int
    crop: bool = False
    tiles: int = 1


def evaluate_data(backbone_settings: BackboneSettings, request: EvaluateRequest) -> None:
    """Compute what is missing in the output folder, write the tables, and print them.

    Raises:
        typer.BadParameter: the command makes no sense.
        ai_core.EvaluationError: the data allow no honest figure.
    """
    presets = presets_named(request.presets)
    if request.ablate:
        presets = tuple(variant for preset in presets for variant in ablations(preset))
    datasets = _read_datasets(request)
    methods: list[Method] = [Mediclip(preset, folds=request.folds) for preset in presets]
    if request.baselines:
        methods += baselines_for(presets)
    plan = Plan(
        datasets=datasets,
        methods=tuple(methods),
        ks=request.ks,
        seeds=request.seeds,
        subset=request.subset,
        rate=request.false_positive_rate,
        look=Look(crop=request.crop, tiles=request.tiles),
    )
    plan.fits()
    with one_run(request.out):
        backbone = open_backbone(backbone_settings)
        compute(plan, backbone=backbone, out=request.out, cache=request.cache)


def compute(plan: Plan, *, backbone: Backbone, out: Path, cache: Path | None) -> tuple[Row, ...]:
    """Run a plan in a folder; write and print its tables; draw the sheet.

    The zero-shot baseline is left out on a backbone that takes no prompts.
    """
    if not backbone.family.projects_patches:
        methods = tuple(one for one in plan.methods if not isinstance(one, ZeroShot))
        plan = replace(plan, methods=methods)
    folder = RunFolder(
        out,
        same=resume_key(backbone, subset=plan.subset, look=plan.look),
        record=describe_run(plan, backbone=backbone, command=_command()),
    )
    tokens = cache or out / TOKENS_FOLDER
    with progress_bars() as progress:
        rows = run_plan(
            plan,
            backbone=backbone,
            folder=folder,
            cache=tokens,
            report=stage_bars(progress),
            made=lambda row: progress.console.print(escape_markup(row_line(row)), highlight=False),
        )
    titles, body = cells_of(rows)
    caption = backbone_caption(backbone, plan)
    promises = promise_cells(rows)
    tables = [to_markdown(titles, body), *([to_markdown(*promises)] if promises[1] else [])]
    write_text(out / "table.md", "\n".join([*tables, f"{caption}\n"]))
    write_text(out / "table.csv", to_csv(rows))
    sheet = draw_sheet(out, plan.datasets, subset=plan.subset, caption=_sheet_caption(plan))
    reliability = draw_reliability(out, rows)
    print_table(None, *cells_of(rows, columns=SHORT))
    if promises[1]:
        print_table("operating points", *promises)
    console.print(escape_markup(caption), highlight=False)
    console.print(
        ", ".join(
            [
                f"written: {escape_markup(out)}",
                *(picture.name for picture in (sheet, reliability) if picture),
            ]
        ),
        highlight=False,
    )
    if cache is None:
        shutil.rmtree(tokens, ignore_errors=True)
    return rows


def presets_named(names: Sequence[str]) -> tuple[Preset, ...]:
    """Look up the presets of these names, each once.

    Raises:
        typer.BadParameter: there is none of that name.
    """
    return tuple(get_preset_option(name) for name in dict.fromkeys(names))


def stage_bars(progress: Progress) -> Callable[[str, int, int], None]:
    """Return a callback (stage, step, steps) with a bar for each stage, used again by each fit."""
    bars: dict[str, Any] = {}

    def show(stage: str, step: int, steps: int) -> None:
        if stage not in bars:
            bars[stage] = progress.add_task(stage, total=steps)
        progress.update(bars[stage], completed=step, total=steps)

    return show


def row_line(row: Row) -> str:
    """Describe a finished row in a few words, for the log of a long run."""
    source = "" if row.fitted_on == row.dataset else f" (fitted on {row.fitted_on})"
    size = f", k = {row.k}, seed {row.seed}" if row.k else ""
    return (
        f"{row.dataset}{source}, {method_title(row)}{size}: image-AUROC {row.image_auroc:.1%}, "
        f"fitted in {row.fit_seconds:.0f} s"
    )


def print_table(title: str | None, titles: Sequence[str], body: Sequence[Sequence[str]]) -> None:
    """Print a table of texts."""
    table = make_table(title, *titles)
    table.box, table.pad_edge = SIMPLE_HEAD, False
    for row in body:
        table.add_row(*(escape_markup(cell) for cell in row))
    console.print(table, highlight=False)


def backbone_caption(backbone: Backbone, plan: Plan) -> str:
    """Write the caption that every figure needs: backbone, digest, seeds."""
    trained = "" if backbone.trained else " (never trained: figures show that it runs, no more)"
    seeds = ", ".join(map(str, plan.seeds))
    look = f" {_look_text(plan.look)}." if plan.look != PLAIN else ""
    return (
        f"Backbone {backbone.name}{trained}, weights sha256 {backbone.sha256[:12]}, blocks "
        f"{', '.join(map(str, backbone.blocks))}. {plan.subset} pictures, seeds {seeds}: mean ± "
        f"standard deviation.{look} Weights of the last step; nothing chosen on what is tested. "
        "Command, support sets and versions: run.json."
    )


def _look_text(look: Look) -> str:
    return ", ".join(
        [
            *(["Cropped to the body"] if look.crop else ["Whole pictures"]),
            *([f"enlarged {look.tiles} times in {look.passes} tiles"] if look.tiles > 1 else []),
        ]
    )


def _read_datasets(request: EvaluateRequest) -> tuple[Dataset, ...]:
    if not request.data and not request.splits:
        raise typer.BadParameter("name data with --data or --split", param_hint="--data")
    if request.splits and request.root is None:
        raise typer.BadParameter(
            "--split names pictures below a folder: give it with --root", param_hint="--root"
        )
    datasets = []
    for path in request.data:
        if path.is_dir():
            datasets.append(from_folder(path))
        elif path.is_file() and path.suffix.lower() == ".csv":
            datasets.append(from_csv(path))
        else:
            raise typer.BadParameter(
                f"{path} is neither a folder nor a .csv table", param_hint="--data"
            )
    for file in request.splits:
        if not file.is_file():
            raise typer.BadParameter(f"there is no file {file}", param_hint="--split")
        assert request.root is not None
        datasets.append(from_split(file, root=request.root))
    return tuple(datasets)


def _sheet_caption(plan: Plan) -> str:
    method = plan.methods[0]
    return (
        f"{method.name} ({method.preset_name or method.geometry}), k = {max(plan.ks)}, seed "
        f"{plan.seeds[0]}"
    )


def _command() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
