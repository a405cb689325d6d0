"""`mediclip-dicom check`: the state of each thing that the node needs."""

from typing import TYPE_CHECKING

import typer

from mediclip_dicom.cli.context import CliContext, settings_of
from mediclip_dicom.cli.display import console, escape_markup, make_table
from mediclip_dicom.errors import ConfigError

if TYPE_CHECKING:
    from mediclip_dicom.node import CheckResult

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def check(context: typer.Context) -> None:
    """Look at everything the node needs, and say what is missing.

    One line each: ok, warn (works, but look at it) or fail (`serve` would not start). Exit code 1
    if a line says fail.
    """
    from mediclip_dicom.node import CheckResult, CheckState, check_node

    try:
        settings = settings_of(context)
    except ConfigError as error:
        _print([CheckResult("configuration", CheckState.FAIL, str(error))])
        raise typer.Exit(1) from error
    file = context.ensure_object(CliContext).file
    source = f"{file}" if file else "no config.toml here: the defaults"
    results = [CheckResult("configuration", CheckState.OK, source), *check_node(settings)]
    _print(results)
    if any(result.state is CheckState.FAIL for result in results):
        raise typer.Exit(1)


def _print(results: list["CheckResult"]) -> None:
    table = make_table(None, "", "what", "found")
    table.show_header = False
    for result in results:
        state = f"[{STYLES[result.state.value]}]{result.state.value}[/]"
        table.add_row(state, escape_markup(result.what), escape_markup(result.found))
    console.print(table, highlight=False)
