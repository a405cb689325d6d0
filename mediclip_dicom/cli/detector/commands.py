"""Options of the commands that use the detector by itself; nothing here loads torch."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.options import (
    Numbers,
    flatten,
    get_preset_option,
    make_window,
    parse_seeds,
    parse_support_sizes,
)
from mediclip_dicom.settings import BackboneSettings, Crop, PrecisionName


class SynthTask(StrEnum):
    """Synthesis tasks that `synth` can show."""

    CUTPASTE = "cutpaste"
    INTENSITY = "intensity"
    SOURCE = "source"
    ALL = "all"


def analyze(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders of one study.")],
    task_name: Annotated[str, typer.Option("--task", help="The task that reads the images.")],
    out: Annotated[Path, typer.Option(help="Folder for the objects; made if missing.")],
) -> None:
    """Analyse files with a task and write its objects to a folder, without any PACS.

    Written are SR and SEG, and what else the configured destinations get.
    """
    from mediclip_dicom.cli.detector.analyze import analyze_files

    analyze_files(settings_of(context), paths, task_name=task_name, out=out)


def synth(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files or folders of normal studies: DICOM, or PNG/JPEG pictures."),
    ],
    out: Annotated[Path, typer.Option(help="The PNG file that is written.")],
    task: Annotated[
        SynthTask, typer.Option(help="Which kind of anomaly, or all of them.")
    ] = SynthTask.ALL,
    preset: Annotated[
        str | None, typer.Option(help="Whose anomalies: default, paper, or another preset's name.")
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(help="Modality (0008,0060) of the images taken; else that of most of them."),
    ] = None,
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Fix the window: centre and width, as in --window 40 80 for a brain CT."),
    ] = None,
    images_per_study: Annotated[
        int | None, typer.Option(help="At most so many images of each study.", min=1)
    ] = None,
    rows: Annotated[int, typer.Option(help="Examples of each kind.", min=1, max=64)] = 4,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
) -> None:
    """Show the synthetic anomalies that a task registered from these studies would learn from.

    Writes one picture: for each example the normal image, the image with its anomaly, the label,
    and the difference. Nothing is fitted and nothing is stored.

    Example: `mediclip-dicom synth --out sheet.png normals/`
    """
    from mediclip_dicom.cli.detector.synth import SynthRequest, show_synthesis

    settings = settings_of(context)
    request = SynthRequest(
        paths=paths,
        task=task.value,
        preset=get_preset_option(preset or settings.tasks.preset),
        modality=modality,
        window=make_window(window),
        images_per_study=images_per_study or settings.tasks.images_per_study,
        rows=rows,
        seed=settings.tasks.seed if seed is None else seed,
        out=out,
    )
    show_synthesis(request)


DEFAULT_K = (16,)
DEFAULT_SEEDS = (0, 1, 2, 3, 4)
PAPER_SEEDS = (0, 1, 2)

_MODEL = typer.Option(
    help="Backbone: an open_clip model, BiomedCLIP, RAD-DINO, timm/ and a DINOv2 of timm, hf-hub: "
    "and a repository, or the path of an open_clip config (.json). By default the configuration's."
)
_WEIGHTS = typer.Option(
    help="A tag of the model, the path of a weights file, bundled or untrained. By default the "
    "configuration's."
)
_TAG = typer.Option(
    help="Of a weights file that several tags of the model fit: openai, …; earlier reads it as "
    "version 0.1 did. By default the configuration's."
)
_PRECISION = typer.Option(
    help="Of the frozen tower's products: auto, fp32, bf16 or int8. By default the configuration's."
)
_PRESET = typer.Option(help="How it is fitted; repeat to compare several.")
_SEEDS = typer.Option(
    parser=parse_seeds, metavar="N[,N]", help="Of support sets and fits, one or several: 0,1,2."
)
_CACHE = typer.Option(
    help="Keep the frozen tower's tokens of the tested pictures here for further runs: 3 MB a "
    "picture with ViT-L/14. Without it they stay in the output folder until the run is done."
)
_BASELINES = typer.Option(help="Nearest neighbour and zero-shot prompts on the same tokens.")
_RATE = typer.Option(
    min=0, max=1, help="Asked of operating points, 0 to 1. By default the configuration's."
)
_CROP = typer.Option(help="Show the detector the box around the body, or the whole picture.")
_TILES = typer.Option(
    min=1,
    max=4,
    help="Enlarge the picture so many times and show it in overlapping tiles: 2 makes 9, 3 25, 4 "
    "49 passes a picture.",
)
_OPERATING_POINT = typer.Option(
    help="Cross-fit MediCLIP's operating point: without it, a fit that pools nothing takes a third "
    "of the time."
)


def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for tables, figures and record; made.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder with normal/ and abnormal/ (and pool/, if you part the normals "
            "yourself), or a .csv with columns path, label, and optionally mask, group, subset. "
            "Repeat for several."
        ),
    ] = None,
    split: Annotated[
        list[Path] | None,
        typer.Option(help="A JSON split file: pool_normal, test_normal, test_abnormal, …; repeat."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The folder that a split file's paths begin at.")
    ] = None,
    model: Annotated[str | None, _MODEL] = None,
    weights: Annotated[str | None, _WEIGHTS] = None,
    tag: Annotated[str | None, _TAG] = None,
    precision: Annotated[PrecisionName | None, _PRECISION] = None,
    preset: Annotated[list[str] | None, _PRESET] = None,
    k: Annotated[
        list[Numbers] | None,
        typer.Option(
            "--k",
            parser=parse_support_sizes,
            metavar="N[,N]",
            help="Support pictures, one number or several: 4,8,16,32.",
        ),
    ] = None,
    seeds: Annotated[list[Numbers] | None, _SEEDS] = None,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="Each preset also with one of its choices changed."),
    ] = False,
    subset: Annotated[
        Literal["test", "dev"],
        typer.Option(help="Report on test; choose presets and settings on dev."),
    ] = "test",
    baselines: Annotated[bool, _BASELINES] = True,
    operating_point: Annotated[bool, _OPERATING_POINT] = True,
    false_positive_rate: Annotated[float | None, _RATE] = None,
    cache: Annotated[Path | None, _CACHE] = None,
    crop: Annotated[Crop, _CROP] = "none",
    tiles: Annotated[int, _TILES] = 1,
) -> None:
    """Measure the detector on labelled pictures, with two baselines.

    Fits on k normal pictures of a training pool and tests on others: image-AUROC, pixel-AUROC and
    AUPRO where there are masks (X_mask.png next to X.jpg), sensitivity and false-positive rate at
    the operating point, at the rate asked for and at 5, 10 and 20 %, with the scope guard applied
    as in the node. Nothing is chosen on what is tested. A run that was stopped goes on where it
    was when the command is given again.

    Writes table.md, table.csv, metrics.json, run.json, sheet.png and reliability.png.

    Example: `mediclip-dicom evaluate --data brain/ --k 8,16 --seeds 0,1,2,3,4 --out figures/`
    """
    from mediclip_dicom.cli.detector.evaluate import EvaluateRequest, evaluate_data

    settings = settings_of(context)
    request = EvaluateRequest(
        data=tuple(data or ()),
        splits=tuple(split or ()),
        root=root,
        presets=tuple(preset or (settings.tasks.preset,)),
        ks=flatten(k) if k else DEFAULT_K,
        seeds=flatten(seeds) if seeds else DEFAULT_SEEDS,
        out=out,
        cache=cache,
        subset=subset,
        baselines=baselines,
        ablate=ablate,
        false_positive_rate=_rate(false_positive_rate, settings.tasks.false_positive_rate),
        folds=settings.tasks.folds if operating_point else 0,
        crop=crop == "body",
        tiles=tiles,
    )
    evaluate_data(
        _backbone(settings.backbone, model=model, weights=weights, tag=tag, precision=precision),
        request,
    )


def reproduce(
    context: typer.Context,
    table: Annotated[
        Literal["table1", "table2", "table3", "table4", "table5"],
        typer.Argument(
            help="table1: other methods, k = 16. table2: k = 4 to 32. table3: transfer between "
            "data sets. table4: ablation. table5: single synthesis tasks."
        ),
    ],
    root: Annotated[Path, typer.Option(help="Holds CheXpert/, BrainMRI/ and BUSI/, in any case.")],
    out: Annotated[
        Path, typer.Option(help="Folder for tables and figures; tables may share one.")
    ] = Path("reproduce-out"),
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only this data set; repeat for several.")
    ] = None,
    model: Annotated[str | None, _MODEL] = None,
    weights: Annotated[str | None, _WEIGHTS] = None,
    tag: Annotated[str | None, _TAG] = None,
    precision: Annotated[PrecisionName | None, _PRECISION] = None,
    preset: Annotated[list[str] | None, _PRESET] = None,
    seeds: Annotated[list[Numbers] | None, _SEEDS] = None,
    baselines: Annotated[bool, _BASELINES] = True,
    operating_point: Annotated[bool, _OPERATING_POINT] = True,
    false_positive_rate: Annotated[float | None, _RATE] = None,
    cache: Annotated[Path | None, _CACHE] = None,
) -> None:
    """Compute a table of the MediCLIP paper on your copy of its data, with the paper's figures.

    Expected below --root, with the paper's numbers of tested pictures:

    CheXpert/{normal,abnormal}: 250 normal and 250 abnormal pictures are tested.

    BrainMRI/{no,yes} or {normal,abnormal}: 65 and 155 are tested.

    BUSI/{normal,benign,malignant}, masks next to the pictures: 101 and 647 are tested.

    The other normals are the training pool. The numbers of tested pictures are the paper's, the
    draw is ours. The tables' numbers are this command's own.
    """
    from mediclip_dicom.cli.detector.reproduce import ReproduceRequest, reproduce_table

    settings = settings_of(context)
    request = ReproduceRequest(
        table=table,
        root=root,
        datasets=tuple(dataset or ()),
        presets=tuple(preset or ("paper",)),
        seeds=flatten(seeds) if seeds else PAPER_SEEDS,
        out=out,
        cache=cache,
        baselines=baselines,
        false_positive_rate=_rate(false_positive_rate, settings.tasks.false_positive_rate),
        folds=settings.tasks.folds if operating_point else 0,
    )
    reproduce_table(
        _backbone(settings.backbone, model=model, weights=weights, tag=tag, precision=precision),
        request,
    )


def _backbone(
    settings: BackboneSettings,
    *,
    model: str | None,
    weights: str | None,
    tag: str | None,
    precision: PrecisionName | None,
) -> BackboneSettings:
    """Return the configured backbone with the changes of the command line.

    The configured tag belongs to the configured model and weights, so another of either drops it.
    """
    if tag is None and (model or weights):
        tag = ""
    changes = {"model": model, "weights": weights, "tag": tag, "precision": precision}
    return settings.model_copy(update={k: v for k, v in changes.items() if v is not None})


def _rate(asked: float | None, default: float) -> float:
    if asked is None:
        return default
    if not 0 < asked < 1:
        raise typer.BadParameter("must be between 0 and 1", param_hint="--false-positive-rate")
    return asked
