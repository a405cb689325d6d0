"""Which associations there are, and whose."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listener.access import Refusal
from listener.scp.rate_limit import Pace
from listener.scp.shared_limits import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from listener.access import AllowedPeer
    from listener.scp.rate_limit import SharedPace
    from listener.scp.shared_limits import Shared


@dataclass(slots=True)
class AssociationRecord:
    """What is known of one association; its thread alone writes it.

    Attributes:
        id: ours, in every log line about it.
        studies: of which it stored instances.
        place: what it holds of limits that processes share.
    """

    peer: AllowedPeer
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    studies: set[str] = field(default_factory=set)
    place: Place = field(default_factory=Place)
    established: bool = False
    instances: int = 0


class Associations:
    """Keeps the associations from request to end, and what each peer has of them.

    Args:
        shared: what other processes that listen on the same port count too; None: there are none.
        changed: called with the number of associations when it has changed.
    """

    def __init__(
        self, shared: Shared | None = None, changed: Callable[[int], None] = lambda _: None
    ) -> None:
        self._shared = shared
        self._changed = changed
        self._lock = threading.Lock()
        self._records: dict[Association, AssociationRecord] = {}
        self._paces: dict[AllowedPeer, Pace | SharedPace] = {}

    def open(self, association: Association, peer: AllowedPeer) -> AssociationRecord | Refusal:
        """Take an association of a peer, unless that peer has enough of them."""
        with self._lock:
            for known in [known for known in self._records if not known.is_alive()]:
                self._records.pop(known).place.give_back()
            record = AssociationRecord(peer)
            refusal = self._refusal(record)
            if refusal is not None:
                record.place.give_back()
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
                record.place.give_back()
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
                pace = Pace(rate) if self._shared is None else self._shared.pace(peer.name, rate)
                self._paces[peer] = pace
        return pace.wait_s()

    def _refusal(self, record: AssociationRecord) -> Refusal | None:
        peer, limit = record.peer, record.peer.limits.associations
        if self._shared is None:
            having = sum(known.peer == peer for known in self._records.values())
            return Refusal.PEER_LIMIT if having >= limit else None
        if not self._shared.has_room(record.place):
            return Refusal.NODE_LIMIT
        if not self._shared.has_room_for(peer.name, limit, record.place):
            return Refusal.PEER_LIMIT
        return None

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)
