"""What processes that listen on one port have in common: limits, rates and counts.

All of it lies in one folder that is made when they are started. Locks are the kernel's and end with
their holder, so a process that dies takes no place with it.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listener.scp.rate_limit import SharedPace
from listener.settings import COUNTS_SIZE, Counts

if TYPE_CHECKING:
    from pathlib import Path

_ALL = "all"


@dataclass(slots=True)
class Place:
    """One of a limited number of places, held until it is given back or its process ends."""

    _descriptors: list[int] = field(default_factory=list)

    def give_back(self) -> None:
        """Let someone else have it."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def take_too(self, descriptor: int) -> None:
        """Hold one more lock."""
        self._descriptors.append(descriptor)


@dataclass(frozen=True, slots=True)
class Shared:
    """The folder of one run.

    Attributes:
        associations: that all processes together may have.
    """

    folder: Path
    associations: int

    def has_room(self, place: Place) -> bool:
        """Take one place among all associations; False where there is none."""
        return self._take(_ALL, self.associations, place)

    def has_room_for(self, peer: str, limit: int, place: Place) -> bool:
        """Take one of a peer's places; False where there is none."""
        return self._take(f"peer-{peer}", limit, place)

    def pace(self, peer: str, per_s: float) -> SharedPace:
        """Return the rate of a peer over all processes."""
        return SharedPace(self.folder / f"pace-{peer}", per_s)

    def counts(self, number: int) -> Counts:
        """Return the counts of one process; they go on where an earlier one of its number ended."""
        path = self.folder / f"counts-{number}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, COUNTS_SIZE)
            return Counts(mmap.mmap(descriptor, COUNTS_SIZE))
        finally:
            os.close(descriptor)

    def _take(self, name: str, limit: int, place: Place) -> bool:
        for number in range(limit):
            path = self.folder / f"{name}-{number}.lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                place.take_too(descriptor)
                return True
        return False
