"""Progress of a run, as lines of text."""

from collections.abc import Callable

Report = Callable[[str], None]
"""Receives a line of text now and then."""


def silent(_: str) -> None:
    """Ignore a report."""
