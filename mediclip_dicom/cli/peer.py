"""`mediclip-dicom peer`: associations with the configured peers."""

from typing import Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import console

app = typer.Typer(no_args_is_help=True, help="Talk to the peers in the configuration.")


@app.callback()
def _keep_as_group() -> None:
    """Talk to the peers in the configuration."""


@app.command()
def echo(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a [[destinations]] block.")],
) -> None:
    """Ask a peer whether it is there (C-ECHO) and say how long the answer took."""
    from listener import echo as c_echo
    from mediclip_dicom.delivery import destination_peer

    settings = settings_of(context)
    destination = settings.destination(name)
    answer = c_echo(destination_peer(settings, destination))
    console.print(
        f"{name} ({destination.ae_title} at {destination.host}:{destination.port}) answers in "
        f"{answer.round_trip_s * 1000:.0f} ms",
        highlight=False,
    )
