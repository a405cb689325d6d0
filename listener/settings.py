"""How the listener is set, and what it tells about itself."""

from __future__ import annotations

import threading
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterable

    from listener.access import AllowedPeer
    from listener.tls import TLSFiles


@dataclass(frozen=True, slots=True)
class TLSPort:
    """A second port, on which peers come over TLS.

    Attributes:
        port: TCP port; 0 lets the operating system choose one.
        handshake_timeout_s: seconds that a client has to shake hands.
    """

    files: TLSFiles
    port: int = 2762
    handshake_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How the Storage SCP presents itself and what it allows.

    Attributes:
        ae_title: our Application Entity title, at most 16 characters; peers must call it.
        host: address to listen on.
        port: TCP port; 0 lets the operating system choose one; None: TLS only.
        peers: who may associate, and what for.
        stranger: what anyone else may do; None refuses everyone who is not named.
        tls: the port for peers over TLS; None: there is none.
        max_pdu: bytes of a PDU that we are ready to receive (PS3.8 D.1).
        max_associations: associations at the same time; one more is rejected as transient.
        max_unestablished: connections from one address that have no association yet.
        acse_timeout_s: seconds to wait for an association request, release or abort.
        dimse_timeout_s: seconds to wait for a DIMSE message that has begun.
        network_timeout_s: seconds without any data until an association is aborted, and seconds
            that one PDU may take from its first byte to its last.
        stop_timeout_s: seconds that running associations get to end when we stop.
        min_free_bytes: an instance that would leave less free space is refused with A700H, and
            below it new associations are rejected as transient.
        min_free_percent: likewise, of the file system's size; the larger of the two counts.
        share_port: other processes listen on the same ports (SO_REUSEPORT).
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int | None = 11112
    peers: tuple[AllowedPeer, ...] = ()
    stranger: AllowedPeer | None = None
    tls: TLSPort | None = None
    max_pdu: int = 128 * 1024
    max_associations: int = 100
    max_unestablished: int = 64
    acse_timeout_s: float = 30.0
    dimse_timeout_s: float = 60.0
    network_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0
    min_free_bytes: int = 1024**3
    min_free_percent: float = 0.0
    share_port: bool = False


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


@dataclass(frozen=True, slots=True)
class AssociationEnd:
    """An association that is over.

    Attributes:
        association_id: ours for it, as in the log.
        peer: our name for who called.
        study_instance_uids: the studies that it stored instances of.
        released: True for an orderly release, False for an abort or a lost connection.
    """

    association_id: str
    peer: str
    calling_ae_title: str
    study_instance_uids: frozenset[str]
    released: bool
