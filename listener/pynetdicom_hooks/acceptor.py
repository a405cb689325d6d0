"""Acceptor side of an association: its caller, its rejection, its end before a request."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

from listener.access import Caller
from listener.tls import certificate_names

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import A_ASSOCIATE

    from listener.access import Rejection


def caller_of(association: Association) -> Caller:
    """Return the caller that an A-ASSOCIATE-RQ names, with the names in its certificate."""
    request = cast("A_ASSOCIATE", association.requestor.primitive)
    names = _tls_names(association)
    return Caller(
        ae_title=request.calling_ae_title,
        called_ae_title=request.called_ae_title,
        address=association.requestor.address,
        tls=names is not None,
        certificate_names=names,
    )


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
