"""`mediclip-dicom delivery`: try again, or give up."""

from typing import Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import console

app = typer.Typer(no_args_is_help=True, help="Try a delivery again, or give it up.")

_RUN = typer.Argument(help="The run, or how its id begins; see mediclip-dicom queue.")
_DESTINATION = typer.Argument(help="Name of a [[destinations]] block.")


@app.command()
def retry(
    context: typer.Context,
    run: Annotated[str, _RUN],
    destination: Annotated[str, _DESTINATION],
) -> None:
    """Deliver again what failed, was cancelled or waits, with all attempts from the start.

    The node does it at once, or at its next start.
    """
    from mediclip_dicom.database import open_database
    from mediclip_dicom.engine import retry as retry_delivery

    settings = settings_of(context)
    found = retry_delivery(
        settings, open_database(settings.database_url), run=run, destination=destination
    )
    console.print(
        f"{found.objects} objects of run {found.run_id[:12]} are on their way to {destination}",
        highlight=False,
    )


@app.command()
def cancel(
    context: typer.Context,
    run: Annotated[str, _RUN],
    destination: Annotated[str, _DESTINATION],
) -> None:
    """Stop trying to deliver; what was taken stays delivered. `retry` takes it up again."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.engine import cancel as cancel_delivery

    settings = settings_of(context)
    found = cancel_delivery(
        settings, open_database(settings.database_url), run=run, destination=destination
    )
    console.print(
        f"{found.objects} objects of run {found.run_id[:12]} are not sent to {destination}",
        highlight=False,
    )
