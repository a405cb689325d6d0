"""Which associations there are, and whose."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listener.access import Refusal
from listener.pace import Pace

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from listener.access import AllowedPeer


@dataclass(slots=True)
class AssociationRecord:
    """What is known of one association; its thread alone writes it.

    Attributes:
        id: ours, in every log line about it.
        studies: of which it stored instances.
    """

    peer: AllowedPeer
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    studies: set[str] = field(default_factory=set)
    established: bool = False
    instances: int = 0


class Associations:
    """Keeps the associations from request to end, and what each peer has of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[Association, AssociationRecord] = {}
        self._paces: dict[AllowedPeer, Pace] = {}

    def open(self, association: Association, peer: AllowedPeer) -> AssociationRecord | Refusal:
        """Take an association of a peer, unless that peer has enough of them."""
        with self._lock:
            for known in [known for known in self._records if not known.is_alive()]:
                del self._records[known]
            having = sum(record.peer == peer for record in self._records.values())
            if having >= peer.limits.associations:
                return Refusal.PEER_LIMIT
            record = self._records[association] = AssociationRecord(peer)
            return record

    def get(self, association: Association) -> AssociationRecord | None:
        """Return the record of an association that is open."""
        with self._lock:
            return self._records.get(association)

    def close(self, association: Association) -> AssociationRecord | None:
        """Forget an association; None where it was forgotten before."""
        with self._lock:
            return self._records.pop(association, None)

    def wait_s(self, peer: AllowedPeer) -> float:
        """Return the seconds that the answer to an instance of this peer has to wait."""
        rate = peer.limits.instances_per_s
        if rate is None:
            return 0.0
        with self._lock:
            pace = self._paces.setdefault(peer, Pace(rate))
        return pace.wait_s()

    def __len__(self) -> int:
        with self._lock:
            return len(self._records)
