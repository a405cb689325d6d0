"""Open associations, and the limits of their peers."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listener.access import Rejection
from listener.scp.rate_limit import RateLimit
from listener.scp.shared_limits import SlotLease

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from listener.access import AllowedPeer
    from listener.scp.rate_limit import SharedRateLimit
    from listener.scp.shared_limits import SharedLimits


@dataclass(slots=True)
class AssociationRecord:
    """Record of one association; only its own thread writes it.

    Attributes:
        peer: that requested it.
        id: our identifier of it in the log.
        studies: Study Instance UIDs of the instances that it stored.
        lease: its slots of shared limits.
        established: True after it was accepted.
        instances: number of instances that it stored.
    """

    peer: AllowedPeer
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    studies: set[str] = field(default_factory=set)
    lease: SlotLease = field(default_factory=SlotLease)
    established: bool = False
    instances: int = 0


@dataclass(frozen=True, slots=True)
class AssociationEnd:
    """Summary of an association that has ended.

    Attributes:
        association_id: our identifier of it in the log.
        peer: our name of the peer.
        calling_ae_title: AE title of the peer.
        study_instance_uids: of the instances that it stored.
        released: True for a release, False for an abort or a lost connection.

    Example:
        >>> ends = []
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool:
        ...     with StorageSCP(settings, spool, on_association_end=ends.append) as scp:
        ...         seconds = echo(Peer("NODE", "127.0.0.1", scp.port)).total_s
        >>> ends[0].peer, ends[0].released, ends[0].study_instance_uids
        ('any', True, frozenset())
    """

    association_id: str
    peer: str
    calling_ae_title: str
    study_instance_uids: frozenset[str]
    released: bool


class Associations:
    """Registry of associations from request to end, which enforces limits.

    Args:
        shared: limits of all processes on the same port; None if there is one process.
        changed: called with the number of associations after each change.
    """

    def __init__(
        self, shared: SharedLimits | None = None, changed: Callable[[int], None] = lambda _: None
    ) -> None:
        self._shared = shared
        self._changed = changed
        self._lock = threading.Lock()
        self._records: dict[Association, AssociationRecord] = {}
        self._rate_limits: dict[AllowedPeer, RateLimit | SharedRateLimit] = {}

    def open(self, association: Association, peer: AllowedPeer) -> AssociationRecord | Rejection:
        """Register an association of a peer, or return the limit that it exceeds."""
        with self._lock:
            for known in [known for known in self._records if not known.is_alive()]:
                self._records.pop(known).lease.release()
            record = AssociationRecord(peer)
            rejection = self._rejection(record)
            if rejection is not None:
                record.lease.release()
                return rejection
            self._records[association] = record
            self._changed(len(self._records))
            return record

    def get(self, association: Association) -> AssociationRecord | None:
        """Return the record of an open association."""
        with self._lock:
            return self._records.get(association)

    def close(self, association: Association) -> AssociationRecord | None:
        """Remove an association and return its record; None if it was removed before."""
        with self._lock:
            record = self._records.pop(association, None)
            if record is not None:
                record.lease.release()
                self._changed(len(self._records))
            return record

    def wait_s(self, peer: AllowedPeer) -> float:
        """Return the seconds by which to delay the answer to an instance of a peer."""
        rate = peer.limits.instances_per_s
        if rate is None:
            return 0.0
        with self._lock:
            limit = self._rate_limits.get(peer)
            if limit is None:
                limit = (
                    RateLimit(rate)
                    if self._shared is None
                    else self._shared.rate_limit(peer.name, rate)
                )
                self._rate_limits[peer] = limit
        return limit.wait_s()

    def _rejection(self, record: AssociationRecord) -> Rejection | None:
        peer, limit = record.peer, record.peer.limits.associations
        if self._shared is None:
            having = sum(known.peer == peer for known in self._records.values())
            return Rejection.PEER_LIMIT if having >= limit else None
        if not self._shared.acquire(record.lease):
            return Rejection.NODE_LIMIT
        if not self._shared.acquire_for_peer(peer.name, limit, record.lease):
            return Rejection.PEER_LIMIT
        return None

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)
