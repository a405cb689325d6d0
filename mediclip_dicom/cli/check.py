"""`mediclip-dicom check`: a line for each thing that the node needs."""

import typer

from mediclip_dicom.cli.context import CliContext, settings_of
from mediclip_dicom.cli.display import console, make_table, plain
from mediclip_dicom.errors import ConfigError
from mediclip_dicom.node import CheckResult, CheckState, check_node

STYLES = {CheckState.OK: "green", CheckState.WARN: "yellow", CheckState.FAIL: "bold red"}


def run_checks(context: typer.Context) -> None:
    """Print the lines; exit code 1 if one says fail."""
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


def _print(results: list[CheckResult]) -> None:
    table = make_table(None, "", "what", "found")
    table.show_header = False
    for result in results:
        state = f"[{STYLES[result.state]}]{result.state.value}[/]"
        table.add_row(state, plain(result.what), plain(result.found))
    console.print(table, highlight=False)
