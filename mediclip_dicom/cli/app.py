"""The command tree. Commands import what they need when they run, so that --help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from mediclip_dicom.cli import peer, study, task
from mediclip_dicom.cli.context import CliContext, settings_of
from mediclip_dicom.cli.display import console

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
