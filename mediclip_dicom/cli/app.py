"""The command tree. Commands import what they need when they run, so that --help is instant."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from mediclip_dicom.cli import delivery, peer, results, study, task
from mediclip_dicom.cli.context import CliContext, preset_named, settings_of
from mediclip_dicom.cli.display import console
from mediclip_dicom.cli.number_lists import NumberListCommand, whole_numbers
from mediclip_dicom.settings import BackboneSettings, PrecisionName


class SynthTask(StrEnum):
    """What `synth` can show."""

    CUTPASTE = "cutpaste"
    INTENSITY = "intensity"
    SOURCE = "source"
    ALL = "all"


HELP = """\
A DICOM node that finds anomalies with MediCLIP, fitted on a few normal studies.

The PACS sends a study; the node answers with a Structured Report and, where it finds an
anomaly, a Segmentation. Not for diagnostic use.

First steps:  demo (see it work)  ·  check (is this machine ready?)  ·  task register (teach it
normal studies)  ·  serve (start the node).
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

NODE, RESULTS, DETECTOR = "The node", "Studies and their results", "The detector by itself"
app.add_typer(task.app, name="task", rich_help_panel=NODE)
app.add_typer(peer.app, name="peer", rich_help_panel=NODE)
app.add_typer(study.app, name="study", rich_help_panel=RESULTS)
app.add_typer(delivery.app, name="delivery", rich_help_panel=RESULTS)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        console.print(f"mediclip-dicom {version('mediclip-dicom')}", highlight=False)
        raise typer.Exit


@app.callback()
def configure(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            envvar="MEDICLIP_CONFIG",
            help="Configuration file. Without it ./config.toml, or the defaults if there is none.",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Remember which configuration the command uses."""
    context.obj = CliContext(config)


@app.command(rich_help_panel=NODE)
def serve(context: typer.Context) -> None:
    """Start the node and run until it is told to stop (Ctrl-C or SIGTERM).

    Studies that were received but not answered when the node last stopped are taken up first.
    """
    from mediclip_dicom.cli.serve import run_node

    run_node(settings_of(context))


@app.command(rich_help_panel=NODE)
def check(context: typer.Context) -> None:
    """Look at everything the node needs, and say what is missing.

    One line each: ok, warn (works, but look at it) or fail (`serve` would not start). Exit code 1
    if a line says fail.
    """
    from mediclip_dicom.cli.check import run_checks

    run_checks(context)


@app.command(rich_help_panel=RESULTS)
def queue(context: typer.Context) -> None:
    """Show what waits: studies to be read, results to be delivered or confirmed."""
    from mediclip_dicom.cli.queue import show_queue

    show_queue(settings_of(context))


app.command(rich_help_panel=RESULTS)(results.render)
app.command(rich_help_panel=RESULTS)(results.export)


@app.command(rich_help_panel=DETECTOR)
def analyze(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders of one study.")],
    task_name: Annotated[str, typer.Option("--task", help="The task that reads the images.")],
    out: Annotated[Path, typer.Option(help="Folder for the objects; made if missing.")],
) -> None:
    """Analyse files with a task and write its objects to a folder, without any PACS.

    Written are SR and SEG, and what else the configured destinations get.
    """
    from mediclip_dicom.cli.analyze import analyze_files

    analyze_files(settings_of(context), paths, task_name=task_name, out=out)


@app.command(rich_help_panel=DETECTOR)
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
    from mediclip_dicom.cli.synth import SynthRequest, show_synthesis
    from mediclip_dicom.cli.task import window_option

    settings = settings_of(context)
    request = SynthRequest(
        paths=paths,
        task=task.value,
        preset=preset_named(preset or settings.tasks.preset),
        modality=modality,
        window=None if window is None else window_option(*window),
        images_per_study=images_per_study or settings.tasks.images_per_study,
        rows=rows,
        seed=settings.tasks.seed if seed is None else seed,
        out=out,
    )
    show_synthesis(request)


@app.command(rich_help_panel=NODE)
def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own data: a folder that holds normal/ and abnormal/, with DICOM studies "
            "of one modality or PNG/JPEG pictures. Without it, a department is made up."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the picture, SEG and SR.")] = Path(
        "demo-out"
    ),
    k: Annotated[int, typer.Option("--k", min=4, help="Normal studies to register from.")] = 8,
    studies: Annotated[
        int, typer.Option(min=1, help="At most so many of each kind go through the PACS.")
    ] = 4,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Watch studies go from a PACS to the node and come back with SEG and SR.

    Starts a small PACS and the node on this machine, makes a department of brain MR studies,
    registers a task from normal ones, sends others through, and reads the results back from the
    PACS. Needs nothing but this machine. Exit code 0 only if every study came back.

    With --data, SEG and SR name the patients of your DICOM files, as they would in your PACS.
    """
    from mediclip_dicom.cli.demo.run import DemoRequest, run_demo

    request = DemoRequest(data=data, out=out, k=k, studies=studies, seed=seed)
    run_demo(settings_of(context), request)


_MODEL = typer.Option(
    help="Backbone: an open_clip model, or the path of an open_clip config (.json). By default "
    "the configuration's."
)
_WEIGHTS = typer.Option(
    help="An open_clip tag, the path of a weights file, bundled or untrained. By default the "
    "configuration's."
)
_PRECISION = typer.Option(
    help="Of the frozen tower's products: auto, fp32, bf16 or int8. By default the configuration's."
)
_PRESET = typer.Option(help="How it is fitted; repeat to compare several.")
_SEEDS = typer.Option(help="Of support sets and fits, one number or several: 0 1 2.")
_CACHE = typer.Option(
    help="Keep the frozen tower's tokens of the tested pictures here for further runs: 3 MB a "
    "picture with ViT-L/14. Without it they lie in the output folder until the run is done."
)
_BASELINES = typer.Option(help="Nearest neighbour and zero-shot prompts on the same tokens.")
_RATE = typer.Option(
    min=0, max=1, help="Asked of operating points, 0 to 1. By default the configuration's."
)
_OPERATING_POINT = typer.Option(
    help="Cross-fit MediCLIP's operating point: without it, a fit that pools nothing takes a third "
    "of the time."
)


@app.command(cls=NumberListCommand, rich_help_panel=DETECTOR)
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
    precision: Annotated[PrecisionName | None, _PRECISION] = None,
    preset: Annotated[list[str] | None, _PRESET] = None,
    k: Annotated[
        list[str] | None,
        typer.Option("--k", help="Support pictures, one number or several: 4 8 16 32."),
    ] = None,
    seeds: Annotated[list[str] | None, _SEEDS] = None,
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
) -> None:
    """Measure the detector on labelled pictures, beside two baselines.

    Fits on k normal pictures of a training pool and tests on others: image-AUROC, pixel-AUROC and
    AUPRO where there are masks (X_mask.png beside X.jpg), sensitivity and false-positive rate at
    the operating point. Nothing is chosen on what is tested. A run that was stopped goes on where
    it was when the command is given again.

    Writes table.md, table.csv, metrics.json, run.json and sheet.png.

    Example: `mediclip-dicom evaluate --data brain/ --k 4 16 --seeds 0 1 2 --out figures/`
    """
    from mediclip_dicom.cli.evaluate import EvaluateRequest, evaluate_data

    settings = settings_of(context)
    request = EvaluateRequest(
        data=tuple(data or ()),
        splits=tuple(split or ()),
        root=root,
        presets=tuple(preset or (settings.tasks.preset,)),
        ks=whole_numbers(k or ["16"], option="--k", least=2),
        seeds=whole_numbers(seeds or ["0", "1", "2"], option="--seeds", least=0),
        out=out,
        cache=cache,
        subset=subset,
        baselines=baselines,
        ablate=ablate,
        false_positive_rate=_rate(false_positive_rate, settings.tasks.false_positive_rate),
        folds=settings.tasks.folds if operating_point else 0,
    )
    evaluate_data(
        _backbone(settings.backbone, model=model, weights=weights, precision=precision), request
    )


@app.command(cls=NumberListCommand, rich_help_panel=DETECTOR)
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
    precision: Annotated[PrecisionName | None, _PRECISION] = None,
    preset: Annotated[list[str] | None, _PRESET] = None,
    seeds: Annotated[list[str] | None, _SEEDS] = None,
    baselines: Annotated[bool, _BASELINES] = True,
    operating_point: Annotated[bool, _OPERATING_POINT] = True,
    false_positive_rate: Annotated[float | None, _RATE] = None,
    cache: Annotated[Path | None, _CACHE] = None,
) -> None:
    """Compute a table of the MediCLIP paper on your copy of its data, the paper's figures beside.

    Expected below --root, with the paper's numbers of tested pictures:

    CheXpert/{normal,abnormal}: 250 normal and 250 abnormal pictures are tested.

    BrainMRI/{no,yes} or {normal,abnormal}: 65 and 155 are tested.

    BUSI/{normal,benign,malignant}, masks beside the pictures: 101 and 647 are tested.

    The other normals are the training pool. The numbers of tested pictures are the paper's, the
    draw is ours. The tables' numbers are this command's own.
    """
    from mediclip_dicom.cli.reproduce import ReproduceRequest, reproduce_table

    settings = settings_of(context)
    request = ReproduceRequest(
        table=table,
        root=root,
        datasets=tuple(dataset or ()),
        presets=tuple(preset or ("paper",)),
        seeds=whole_numbers(seeds or ["0", "1", "2"], option="--seeds", least=0),
        out=out,
        cache=cache,
        baselines=baselines,
        false_positive_rate=_rate(false_positive_rate, settings.tasks.false_positive_rate),
        folds=settings.tasks.folds if operating_point else 0,
    )
    reproduce_table(
        _backbone(settings.backbone, model=model, weights=weights, precision=precision), request
    )


def _backbone(
    settings: BackboneSettings,
    *,
    model: str | None,
    weights: str | None,
    precision: PrecisionName | None,
) -> BackboneSettings:
    """The configuration's backbone, less what the command line says otherwise."""
    changes = {"model": model, "weights": weights, "precision": precision}
    return settings.model_copy(update={k: v for k, v in changes.items() if v is not None})


def _rate(asked: float | None, default: float) -> float:
    if asked is None:
        return default
    if not 0 < asked < 1:
        raise typer.BadParameter("must lie within 0 and 1", param_hint="--false-positive-rate")
    return asked
