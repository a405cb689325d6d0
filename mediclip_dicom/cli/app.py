"""Tree of the commands; each imports what it needs when it runs, so that --help is instant."""

from pathlib import Path
from typing import Annotated

import typer

from mediclip_dicom.cli import check, delivery, peer, results, serve, study, task
from mediclip_dicom.cli.context import CliContext
from mediclip_dicom.cli.demo import command as demo
from mediclip_dicom.cli.detector import commands as detector
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


app.command(rich_help_panel=NODE)(serve.serve)
app.command(rich_help_panel=NODE)(check.check)
app.command(rich_help_panel=NODE)(demo.demo)
app.command(rich_help_panel=RESULTS)(results.queue)
app.command(rich_help_panel=RESULTS)(results.render)
app.command(rich_help_panel=RESULTS)(results.export)
app.command(rich_help_panel=DETECTOR)(detector.analyze)
app.command(rich_help_panel=DETECTOR)(detector.synth)
app.command(rich_help_panel=DETECTOR)(detector.evaluate)
app.command(rich_help_panel=DETECTOR)(detector.reproduce)
