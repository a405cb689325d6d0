"""Associations that we request from a peer."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydicom.uid import UID
from pynetdicom import AE, evt

from listener.errors import (
    AssociationAbortedError,
    AssociationRejectedError,
    NoPresentationContextError,
    PeerTLSError,
    PeerUnreachableError,
)
from listener.pynetdicom_hooks import RequestorEvents, configure_libraries
from listener.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from listener.tls import ClientHandshake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from listener.pynetdicom_hooks import RoleSelection
    from listener.tls import TLSFiles

_MAX_PDU = 128 * 1024
_TRANSIENT = 0x02


@dataclass(frozen=True, slots=True)
class Peer:
    """Remote Application Entity, its address and our time limits.

    Attributes:
        ae_title: its Application Entity title, at most 16 characters.
        host: its address or host name.
        port: its TCP port.
        calling_ae_title: our own AE title.
        connect_timeout_s: seconds for the TCP connection.
        acse_timeout_s: seconds for the answer to an association or release request.
        dimse_timeout_s: seconds for each answer of the peer.
        tls: our certificate and the trusted issuers; None: no TLS.

    Example:
        >>> print(Peer("PACS", "pacs.clinic.example", 11112, calling_ae_title="NODE"))
        PACS at pacs.clinic.example:11112
    """

    ae_title: str
    host: str
    port: int
    calling_ae_title: str = "MEDICLIP"
    connect_timeout_s: float = 10.0
    acse_timeout_s: float = 30.0
    dimse_timeout_s: float = 60.0
    tls: TLSFiles | None = None

    def __str__(self) -> str:
        return f"{self.ae_title} at {self.host}:{self.port}"


@contextmanager
def associate(
    peer: Peer,
    contexts: Sequence[PresentationContext],
    *,
    roles: Sequence[RoleSelection] = (),
    on_c_store: Callable[[evt.Event], int] | None = None,
    on_event_report: Callable[[evt.Event], tuple[int, None]] | None = None,
) -> Iterator[Association]:
    """Request an association, release it at the end, and abort it when the work raises.

    Args:
        peer: to associate with.
        contexts: to propose, at most 128.
        roles: role selections to propose.
        on_c_store: handler of the C-STORE requests of a C-GET.
        on_event_report: handler of an N-EVENT-REPORT that follows an N-ACTION.

    Raises:
        PeerUnreachableError: no connection or no answer.
        AssociationRejectedError: the peer rejected it.
        NoPresentationContextError: the peer accepted it, but none of the contexts.
        AssociationAbortedError: the peer ended it during negotiation.
        PeerTLSError: the TLS handshake failed.
        TLSError: our certificates can't be used.
    """
    configure_libraries()
    handshake = None if peer.tls is None else ClientHandshake(peer.tls)
    events = RequestorEvents()
    handlers: list[Any] = events.handlers()
    if on_c_store is not None:
        handlers.append((evt.EVT_C_STORE, on_c_store))
    if on_event_report is not None:
        handlers.append((evt.EVT_N_EVENT_REPORT, on_event_report))
    association = _entity(peer).associate(
        peer.host,
        peer.port,
        contexts=list(contexts),
        ae_title=peer.ae_title,
        max_pdu=_MAX_PDU,
        ext_neg=list(roles),
        evt_handlers=handlers,
        tls_args=None if handshake is None else (handshake.context, peer.host),
    )
    _raise_unless_established(association, peer, events=events, handshake=handshake)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _entity(peer: Peer) -> AE:
    ae = AE(peer.calling_ae_title)
    ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    ae.connection_timeout = peer.connect_timeout_s
    ae.acse_timeout = peer.acse_timeout_s
    ae.dimse_timeout = peer.dimse_timeout_s
    ae.network_timeout = max(peer.dimse_timeout_s, peer.acse_timeout_s)
    return ae


def _raise_unless_established(
    association: Association,
    peer: Peer,
    *,
    events: RequestorEvents,
    handshake: ClientHandshake | None,
) -> None:
    if association.is_established:
        return
    if handshake is not None and handshake.failure is not None:
        raise PeerTLSError(f"no TLS with {peer}: {handshake.failure}")
    if not events.opened.is_set():
        raise PeerUnreachableError(f"{peer} can't be reached; check its address and that it runs")
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        raise AssociationRejectedError(
            f"{peer} rejected {peer.calling_ae_title}: {events.answer}",
            transient=answer.result == _TRANSIENT,
        )
    if association.rejected_contexts and not association.accepted_contexts:
        raise NoPresentationContextError(f"{peer} accepts none of the proposed contexts")
    if not events.ended_by_peer.is_set():
        raise PeerUnreachableError(f"{peer} did not answer the association request in time")
    raise AssociationAbortedError(
        f"{peer} and {peer.calling_ae_title} parted while the association was negotiated: "
        f"{events.answer or 'the connection was closed'}"
    )
