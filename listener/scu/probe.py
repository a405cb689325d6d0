"""Negotiation with a peer without sending anything: the SOP classes that it takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import UID
from pynetdicom import build_context

from listener.errors import AssociationAbortedError
from listener.scu.association import Peer, associate

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERIFICATION = UID("1.2.840.10008.1.1")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """Contexts that a peer accepts.

    Attributes:
        accepted: pairs of SOP class and transfer syntax.
        round_trip_s: seconds of a C-ECHO; None if the peer does not accept Verification.

    Example:
        >>> ProbeResult(frozenset({("1.2.3", "1.2.840.10008.1.2.1")}), None).round_trip_s is None
        True
    """

    accepted: frozenset[tuple[str, str]]
    round_trip_s: float | None


def probe(peer: Peer, proposed: Sequence[tuple[str, str]]) -> ProbeResult:
    """Propose Verification and other contexts to a peer, and send a C-ECHO if it can be.

    Args:
        peer: to associate with.
        proposed: at most 127 pairs of SOP class and transfer syntax.

    Raises:
        PeerError: it can't be reached, rejects us, accepts no context at all, or aborts.

    Example:
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool, StorageSCP(settings, spool) as scp:
        ...     found = probe(Peer("NODE", "127.0.0.1", scp.port), [("1.2.3", "1.2.840.10008.1.2")])
        >>> found.accepted, found.round_trip_s > 0
        (frozenset(), True)
    """
    contexts = [build_context(_VERIFICATION), *(build_context(*pair) for pair in proposed)]
    with associate(peer, contexts) as association:
        accepted = {
            (str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in association.accepted_contexts
        }
        round_trip_s = None
        if any(sop_class == _VERIFICATION for sop_class, _ in accepted):
            asked = time.perf_counter()
            if "Status" not in association.send_c_echo():
                raise AssociationAbortedError(f"{peer} did not answer C-ECHO")
            round_trip_s = time.perf_counter() - asked
    return ProbeResult(frozenset(accepted & set(proposed)), round_trip_s)
