"""Console output that the commands share: times, tables, progress bars."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

console = Console(emoji=False)

VERDICT_STYLES = {"abnormal": "bold red", "normal": "green", "undetermined": "yellow"}


def make_table(title: str | None, *columns: str) -> Table:
    """Make a table in the common style."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def escape_markup(text: object) -> str:
    """Escape the brackets of a text that others wrote, so that Rich prints them."""
    return escape(str(text))


def local_time(moment: datetime | None) -> str:
    """Format a moment in local time."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def score_text(score: float | None) -> str:
    """Format a score with enough digits to rank by."""
    return "" if score is None else f"{score:.4f}"


def p_value_text(p_value: float | None, *, extrapolated: bool) -> str:
    """Format a p-value, marked where it is below what counting the normals can reach."""
    return score_text(p_value) + (" extrapolated" if extrapolated else "")


def verdict_text(verdict: str) -> str:
    """Format a verdict in its colour, as Rich markup."""
    style = VERDICT_STYLES.get(verdict)
    return f"[{style}]{verdict}[/]" if style else verdict


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show progress bars with count and elapsed time."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        yield progress


def count_progress(progress: Progress, description: str) -> Callable[[int, int], None]:
    """Return a callback (done, total) that moves a bar of its own."""
    bar = progress.add_task(description, total=None)
    return lambda done, total: progress.update(bar, completed=done, total=total)


def fit_progress(progress: Progress) -> Callable[[Any], None]:
    """Return a callback for `ai_core.FitProgress`, with a bar for each stage."""
    bars: dict[str, Any] = {}

    def show(state: Any) -> None:
        if state.stage not in bars:
            bars[state.stage] = progress.add_task(state.stage, total=state.steps)
        progress.update(bars[state.stage], completed=state.step, total=state.steps)

    return show
