"""Acceptor side of an association: its caller, its rejection, its end before a request."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

from listener.access import Caller
from listener.tls import certificate_names

if TYPE_CHECKING:
    from pynetdicom.association import Association

    from listener.access import Rejection
    from listener.pynetdicom_hooks.negotiation import Titles
    from listener.pynetdicom_hooks.reactor import Reactor


def caller_of(association: Association) -> Caller:
    """Return the caller that an A-ASSOCIATE-RQ names, with the names in its certificate."""
    names = _tls_names(association)
    titles = titles_of_request(association)
    return Caller(
        ae_title=titles.calling,
        called_ae_title=titles.called,
        address=association.requestor.address,
        tls=names is not None,
        certificate_names=names,
    )


def titles_of_request(association: Association) -> Titles:
    """Return the AE titles of the request as the peer sent them, without padding."""
    return cast("Reactor", association.dul).titles


def end_reason(association: Association) -> str:
    """Return why an association ended without a release, in words."""
    return cast("Reactor", association.dul).end_reason


def note_end(association: Association, reason: str) -> None:
    """Record why we abort an association, before it is aborted."""
    cast("Reactor", association.dul).note_end(reason)


def has_asked(association: Association) -> bool:
    """Whether the peer sent anything that could be a request."""
    return cast("Reactor", association.dul).has_heard


def reject(association: Association, rejection: Rejection) -> None:
    """Answer a request with A-ASSOCIATE-RJ and end the association's threads."""
    association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
    association.kill()


def end_without_request(association: Association) -> None:
    """End the thread of an association whose connection closed before a request came."""
    if association.requestor.primitive is None:
        # The acceptor thread still blocks on the queue; None unblocks it.
        association.dul.to_user_queue.put(None)


def _tls_names(association: Association) -> frozenset[str] | None:
    """Return the names in the peer's certificate; None for a connection without TLS."""
    transport = association.dul.socket
    connection = None if transport is None else transport.socket
    return certificate_names(connection) if isinstance(connection, ssl.SSLSocket) else None
