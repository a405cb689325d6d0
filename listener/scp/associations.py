"""Which associations there are, and whose."""

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
    """What is known of one association; its thread alone writes it.

    Attributes:
        id: ours, in every log line about it.
        studies: of which it stored instances.
        lease: slots that it holds of limits that processes share.
    """

    peer: AllowedPeer
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    studies: set[str] = field(default_factory=set)
    lease: SlotLease = field(default_factory=SlotLease)
    established: bool = False
    instances: int = 0


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


class Associations:
    """Keeps the associations from request to end, and what each peer has of them.

    Args:
        shared: what other processes that listen on the same port count too; None: there are none.
        changed: called with the number of associations when it has changed.
    """

    def __init__(
        self, shared: SharedLimits | None = None, changed: Callable[[int], None] = lambda _: None
    ) -> None:
        self._shared = shared
        self._changed = changed
        self._lock = threading.Lock()
        self._records: dict[Association, AssociationRecord] = {}
        self._paces: dict[AllowedPeer, RateLimit | SharedRateLimit] = {}

    def open(self, association: Association, peer: AllowedPeer) -> AssociationRecord | Rejection:
        """Take an association of a peer, unless that peer has enough of them."""
        with self._lock:
            for known in [known for known in self._records if not known.is_alive()]:
                self._records.pop(known).lease.release()
            record = AssociationRecord(peer)
            refusal = self._refusal(record)
            if refusal is not None:
                record.lease.release()
                return refusal
            self._records[association] = record
            self._changed(len(self._records))
            return record

    def get(self, association: Association) -> AssociationRecord | None:
        """Return the record of an association that is open."""
        with self._lock:
            return self._records.get(association)

    def close(self, association: Association) -> AssociationRecord | None:
        """Forget an association; None where it was forgotten before."""
        with self._lock:
            record = self._records.pop(association, None)
            if record is not None:
                record.lease.release()
                self._changed(len(self._records))
            return record

    def wait_s(self, peer: AllowedPeer) -> float:
        """Return the seconds that the answer to an instance of this peer has to wait."""
        rate = peer.limits.instances_per_s
        if rate is None:
            return 0.0
        with self._lock:
            pace = self._paces.get(peer)
            if pace is None:
                pace = (
                    RateLimit(rate)
                    if self._shared is None
                    else self._shared.rate_limit(peer.name, rate)
                )
                self._paces[peer] = pace
        return pace.wait_s()

    def _refusal(self, record: AssociationRecord) -> Rejection | None:
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
