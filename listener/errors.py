"""Errors of the DICOM network and of the spool; no message carries patient data."""

from __future__ import annotations


class ListenerError(Exception):
    """Base of every error that this package raises.

    Example:
        >>> nowhere = Peer("PACS", "127.0.0.1", 1, connect_timeout_s=1)
        >>> try:
        ...     echo(nowhere)
        ... except ListenerError as error:
        ...     print(error)
        PACS at 127.0.0.1:1 can't be reached; check its address and that it runs
    """


class SubscriberError(ListenerError):
    """A subscriber can't take a report now; the report is repeated later.

    Raise it in a callback of `Arrivals`: it is logged by its text, without a traceback.
    """


class InvalidInstanceError(ListenerError):
    """A received data set that is not one whole SOP instance.

    Attributes:
        status: the C-STORE status to answer with, PS3.4 table B.2-1: A900H or C000H.
        reason: text for (0000,0902) Error Comment, at most 64 characters.
    """

    def __init__(self, reason: str, *, status: int = 0xC000) -> None:
        super().__init__(reason)
        self.reason = reason[:64]
        self.status = status


class InvalidUIDError(InvalidInstanceError):
    """A UID that is missing or not valid (PS3.5 9.1), and so can't name a folder or file."""


class BrokenMessageError(ListenerError):
    """Bytes of a peer that are no DICOM message; the association is aborted."""


class SpoolWriteError(ListenerError):
    """Failed write of the spool; nothing of the instance was kept."""


class StorageFullError(SpoolWriteError):
    """Full disk of the spool, or one below the mark that is set for it."""


class TLSError(ListenerError):
    """Unusable certificates, or a failed TLS handshake; the text says why."""


class PeerError(ListenerError):
    """Base of errors that a peer causes when we are the SCU."""


class PeerUnreachableError(PeerError):
    """Peer without a TCP connection, or without an answer to the association request in time."""


class PeerTLSError(PeerError):
    """Failed TLS handshake with a peer; the text says why."""


class AssociationRejectedError(PeerError):
    """A-ASSOCIATE-RJ of the peer.

    Attributes:
        transient: True when the peer says that a later try may succeed (PS3.8 9.3.4).
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class NoPresentationContextError(PeerError):
    """Presentation contexts that the peer does not accept, all that are needed."""


class AssociationAbortedError(PeerError):
    """Association that ended before the work was done."""


class CommitmentRefusedError(PeerError):
    """Failure status of the peer for a storage commitment request or report.

    Attributes:
        status: the DIMSE status, an integer from 0x0000 to 0xFFFF.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(f"{message} (status {status:04X}H)")
        self.status = status


class QueryFailedError(PeerError):
    """Failure status of the peer for a C-FIND, C-MOVE or C-GET.

    Attributes:
        status: the DIMSE status, an integer from 0x0000 to 0xFFFF.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
