"""Destinations of results: a port, and its implementation by C-STORE."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from listener import Peer, StoreOutcome, Substitutes, store
from mediclip_dicom.delivery.peers import destination_peer
from mediclip_dicom.settings import Settings


class Destination(Protocol):
    """Port to a system that takes result objects."""

    def send(
        self,
        paths: Sequence[Path],
        *,
        on_answer: Callable[[StoreOutcome], None],
        substitutes: Substitutes | None = None,
    ) -> tuple[StoreOutcome, ...]:
        """Send Part 10 files, and wait for the answer to each.

        Args:
            paths: files of result objects.
            on_answer: called with each answer before the next object goes out, so that an answer
                is kept when the connection breaks.
            substitutes: of a SOP class that the destination may not take.

        Returns:
            The answers in the order of the files; their status codes are those of PS3.4 B.2.3,
            which STOW-RS uses as well (PS3.18 I.2).

        Raises:
            listener.ListenerError: The destination can't be reached, or the connection broke.
        """
        ...


@dataclass(frozen=True, slots=True)
class DimseDestination:
    """Destination that takes objects by C-STORE, all of one call over one association."""

    peer: Peer

    def send(
        self,
        paths: Sequence[Path],
        *,
        on_answer: Callable[[StoreOutcome], None],
        substitutes: Substitutes | None = None,
    ) -> tuple[StoreOutcome, ...]:
        """Send Part 10 files; see `Destination.send`."""
        return store(self.peer, tuple(paths), on_answer=on_answer, substitutes=substitutes)


def open_destination(settings: Settings, name: str) -> Destination:
    """Make the destination that a [[destinations]] block configures.

    Raises:
        ConfigError: There is none of that name.
    """
    return DimseDestination(destination_peer(settings, settings.destination(name)))
