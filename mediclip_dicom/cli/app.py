"""The command tree. Commands import what they need when they run, so that --help is instant."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mediclip_dicom.cli import peer, study, task
from mediclip_dicom.cli.context import CliContext, settings_of
from mediclip_dicom.cli.display import console


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
app.add_typer(task.app, name="task")
app.add_typer(study.app, name="study")
app.add_typer(peer.app, name="peer")


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


@app.command()
def serve(context: typer.Context) -> None:
    """Start the node and run until it is told to stop (Ctrl-C or SIGTERM).

    Studies that were received but not answered when the node last stopped are taken up first.
    """
    from mediclip_dicom.cli.serve import run_node

    run_node(settings_of(context))


@app.command()
def check(context: typer.Context) -> None:
    """Look at everything the node needs, and say what is missing.

    One line each: ok, warn (works, but look at it) or fail (`serve` would not start). Exit code 1
    if a line says fail.
    """
    from mediclip_dicom.cli.check import run_checks

    run_checks(context)


@app.command()
def analyze(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(help="DICOM files or folders of one study.")],
    task_name: Annotated[str, typer.Option("--task", help="The task that reads the images.")],
    out: Annotated[Path, typer.Option(help="Folder for SEG and SR; made if missing.")],
) -> None:
    """Analyse files with a task and write SEG and SR to a folder, without any PACS."""
    from mediclip_dicom.cli.analyze import analyze_files

    analyze_files(settings_of(context), paths, task_name=task_name, out=out)


@app.command()
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
    from ai_core import get_preset, preset_names
    from mediclip_dicom.cli.synth import SynthRequest, show_synthesis
    from mediclip_dicom.cli.task import window_option

    settings = settings_of(context)
    name = preset or settings.tasks.preset
    if name not in preset_names():
        raise typer.BadParameter(
            f"no preset {name!r}; there are {', '.join(preset_names())}", param_hint="--preset"
        )
    request = SynthRequest(
        paths=paths,
        task=task.value,
        preset=get_preset(name),
        modality=modality,
        window=None if window is None else window_option(*window),
        images_per_study=images_per_study or settings.tasks.images_per_study,
        rows=rows,
        seed=settings.tasks.seed if seed is None else seed,
        out=out,
    )
    show_synthesis(request)


@app.command()
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
    from mediclip_dicom.demo.run import DemoRequest, run_demo

    request = DemoRequest(data=data, out=out, k=k, studies=studies, seed=seed)
    run_demo(settings_of(context), request)
