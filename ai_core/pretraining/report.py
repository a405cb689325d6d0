"""How a run tells how far it has come."""

from collections.abc import Callable

Report = Callable[[str], None]
"""Receives a line of text now and then."""


def silent(_: str) -> None:
    """A report that says nothing."""
