"""Counters of the listener, which several processes may share."""

from __future__ import annotations

import threading
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """Counts since start. `refused_*` are C-STORE answers, `rejected_*` associations.

    Attributes:
        associations: accepted.
        rejected_calling_ae: strangers.
        rejected_address: a known AE title from another address.
        rejected_tls_needed: a peer that must come over TLS came without.
        rejected_certificate_host: a certificate for another host.
        rejected_peer_limit: more associations than this peer may have.
        rejected_disk_low: while the disk is low.
        rejected_other: more associations than the node takes.
        aborted: associations that ended without a release.
        tls_failures: TLS handshakes that failed.
        connections_closed: connections closed at once: too many.
        stored: new contents.
        duplicates: contents that were there before.
        refused_invalid, refused_mismatch: C000H and A900H, in quarantine.
        refused_resources: A700H, no space or a failing disk.
        refused_too_large: A700H, larger than the peer may send.
        delayed: instances acknowledged later than they could have been, by the peer's rate.
        commitments: requests for storage commitment taken.
        queries: C-FIND requests of peers that may find.
    """

    associations: int
    rejected_calling_ae: int
    rejected_called_ae: int
    rejected_address: int
    rejected_tls_needed: int
    rejected_certificate_host: int
    rejected_peer_limit: int
    rejected_disk_low: int
    rejected_other: int
    aborted: int
    tls_failures: int
    connections_closed: int
    echoes: int
    stored: int
    stored_bytes: int
    duplicates: int
    refused_invalid: int
    refused_mismatch: int
    refused_resources: int
    refused_too_large: int
    delayed: int
    commitments: int
    queries: int


_NAMES = tuple(field.name for field in fields(ListenerStatistics))
_CELLS = {name: cell for cell, name in enumerate((*_NAMES, "open_associations"))}
COUNTS_SIZE = 8 * len(_CELLS)
"""Bytes that counts take."""


class Counts:
    """Counts under the names of `ListenerStatistics`, from many threads.

    Args:
        buffer: `COUNTS_SIZE` bytes where they are kept, which another process may read; None:
            here alone.
    """

    def __init__(self, buffer: bytearray | mmap.mmap | None = None) -> None:
        self._lock = threading.Lock()
        self._cells = memoryview(buffer or bytearray(COUNTS_SIZE)).cast("q")

    @property
    def open_associations(self) -> int:
        """How many associations there are at the moment."""
        return self._cells[_CELLS["open_associations"]]

    @open_associations.setter
    def open_associations(self, number: int) -> None:
        self._cells[_CELLS["open_associations"]] = number

    def add(self, name: str, amount: int = 1) -> None:
        """Count something that happened."""
        with self._lock:
            self._cells[_CELLS[name]] += amount

    def statistics(self) -> ListenerStatistics:
        """Return what has happened until now."""
        with self._lock:
            return ListenerStatistics(**{name: self._cells[_CELLS[name]] for name in _NAMES})


def total(statistics: Iterable[ListenerStatistics]) -> ListenerStatistics:
    """Return the sums of what several listeners counted."""
    rows = [astuple(row) for row in statistics]
    return ListenerStatistics(*(sum(column) for column in zip(*rows, strict=True)))
