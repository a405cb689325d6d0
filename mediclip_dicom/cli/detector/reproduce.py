"""`mediclip-dicom reproduce`: tables of the MediCLIP paper on the user's copy of its data."""

from dataclasses import dataclass
from pathlib import Path

import typer

from ai_core.evaluation import (
    PAPER_BACKBONE,
    TITLES,
    Dataset,
    TableName,
    make_plan,
    needed_sets,
    one_run,
    paper_cells,
    pivot,
    to_markdown,
)
from ai_core.files import write_text
from mediclip_dicom.cli.detector.evaluate import (
    backbone_caption,
    compute,
    presets_named,
    print_table,
)
from mediclip_dicom.cli.display import console, escape_markup
from mediclip_dicom.settings import BackboneSettings
from mediclip_dicom.tasks import open_backbone


@dataclass(frozen=True, slots=True)
class ReproduceRequest:
    """Arguments of `mediclip-dicom reproduce`."""

    table: TableName
    root: Path
    datasets: tuple[str, ...]
    presets: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    cache: Path | None
    baselines: bool
    false_positive_rate: float
    folds: int


def reproduce_table(backbone_settings: BackboneSettings, request: ReproduceRequest) -> None:
    """Compute a table's cells, and print ours with the paper's in brackets.

    Raises:
        typer.BadParameter: a folder is missing; the message says what is expected where.
    """
    presets = presets_named(request.presets)
    datasets = _read_sets(request)
    plan = make_plan(
        request.table,
        datasets,
        presets=presets,
        baselines=request.baselines,
        seeds=request.seeds,
        rate=request.false_positive_rate,
        folds=request.folds,
    )
    plan.fits()
    with one_run(request.out):
        backbone = open_backbone(backbone_settings)
        rows = compute(plan, backbone=backbone, out=request.out, cache=request.cache)
    cells = paper_cells(request.table, [dataset.name for dataset in datasets], plan)
    titles, body = pivot(cells, rows)
    title = f"{TITLES[request.table]}. Image-AUROC in %, ours (the paper's)"
    caption = backbone_caption(backbone, plan)
    if backbone.name != PAPER_BACKBONE:
        caption = (
            f"The paper's figures are of OpenAI's ViT-L/14. Ours are of {backbone.name}: they do "
            f"not compare. {caption}"
        )
    text = f"{title}\n\n{to_markdown(titles, body)}\n{caption}\n"
    write_text(request.out / f"{request.table}.md", text)
    print_table(title, titles, body)
    console.print(escape_markup(caption), highlight=False)


def _read_sets(request: ReproduceRequest) -> tuple[Dataset, ...]:
    needed = needed_sets(request.table)
    names = {one.name.lower(): one for one in needed}
    if unknown := [name for name in request.datasets if name.lower() not in names]:
        raise typer.BadParameter(
            f"{request.table} is about {', '.join(one.name for one in needed)}, not {unknown[0]}",
            param_hint="--dataset",
        )
    wanted = {name.lower() for name in request.datasets} or set(names)
    chosen = [one for one in needed if one.name.lower() in wanted]
    found = [(one, one.read(request.root)) for one in chosen]
    if missing := [one for one, dataset in found if dataset is None]:
        raise typer.BadParameter(
            f"missing below {request.root}: "
            + "; ".join(one.expected for one in missing)
            + ". Leave a data set out by naming the others with --dataset",
            param_hint="--root",
        )
    return tuple(dataset for _, dataset in found if dataset is not None)
