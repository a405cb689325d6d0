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
    """Counts since the start. `refused_*` are C-STORE answers, `rejected_*` associations.

    Attributes:
        associations: accepted.
        rejected_calling_ae: unknown calling AE title.
        rejected_called_ae: called AE title that is not ours.
        rejected_address: a known AE title from another address.
        rejected_tls_needed: no TLS, from a peer that must use it.
        rejected_certificate_host: a certificate for another host.
        rejected_peer_limit: one association too many of this peer.
        rejected_disk_low: low disk.
        rejected_other: one association too many of all.
        aborted: associations that ended without a release.
        tls_failures: failed TLS handshakes.
        connections_closed: connections closed at once, since there were too many.
        echoes: C-ECHO requests.
        stored: instances with new content.
        stored_bytes: bytes of their data sets.
        duplicates: instances whose content was in the spool before.
        refused_invalid: C000H, in quarantine.
        refused_mismatch: A900H, in quarantine, or 0122H.
        refused_resources: A700H, no space or a failing disk.
        refused_too_large: A700H, larger than the peer may send.
        delayed: answers that were delayed, since the peer was above its rate.
        commitments: accepted requests for storage commitment.
        queries: C-FIND requests of peers that may find.

    Example:
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool, StorageSCP(settings, spool) as scp:
        ...     seconds = echo(Peer("NODE", "127.0.0.1", scp.port)).round_trip_s
        ...     scp.statistics.echoes
        1
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
"""Size of the buffer of `Counts` in bytes."""


class Counts:
    """Counters by the names of `ListenerStatistics`; many threads may count.

    Args:
        buffer: `COUNTS_SIZE` bytes to count in, which another process may read; None for own ones.

    Example:
        >>> counts = Counts()
        >>> counts.add("stored", 2)
        >>> counts.statistics().stored
        2
    """

    def __init__(self, buffer: bytearray | mmap.mmap | None = None) -> None:
        self._lock = threading.Lock()
        self._cells = memoryview(buffer or bytearray(COUNTS_SIZE)).cast("q")

    @property
    def open_associations(self) -> int:
        """Number of associations at the moment."""
        return self._cells[_CELLS["open_associations"]]

    @open_associations.setter
    def open_associations(self, number: int) -> None:
        self._cells[_CELLS["open_associations"]] = number

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._cells[_CELLS[name]] += amount

    def statistics(self) -> ListenerStatistics:
        """Return the counts until now."""
        with self._lock:
            return ListenerStatistics(**{name: self._cells[_CELLS[name]] for name in _NAMES})


def total(statistics: Iterable[ListenerStatistics]) -> ListenerStatistics:
    """Return the sums over several listeners."""
    rows = [astuple(row) for row in statistics]
    return ListenerStatistics(*(sum(column) for column in zip(*rows, strict=True)))
