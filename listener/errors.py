"""What can go wrong on the DICOM network and in the spool; no message carries patient data."""

from __future__ import annotations


class ListenerError(Exception):
    """Base of every error that this package raises."""


class InvalidInstanceError(ListenerError):
    """A received data set that is not one whole SOP instance.

    Attributes:
        status: the C-STORE status to answer with, PS3.4 table B.2-1: A900H or C000H.
        reason: what is wrong, at most 64 characters, fit for (0000,0902) Error Comment.
    """

    def __init__(self, reason: str, *, status: int = 0xC000) -> None:
        super().__init__(reason)
        self.reason = reason[:64]
        self.status = status


class InvalidUIDError(InvalidInstanceError):
    """A UID that is missing or not a UID by PS3.5 9.1, and so can't name a folder or file."""


class BrokenMessageError(ListenerError):
    """What a peer sent over an association is no DICOM message; the association is aborted."""


class SpoolWriteError(ListenerError):
    """The spool could not write; nothing of the instance was kept."""


class StorageFullError(SpoolWriteError):
    """The disk of the spool is full, or below the low mark that was set for it."""


class TLSError(ListenerError):
    """Certificates can't be used, or a TLS handshake failed; the text says why."""


class PeerError(ListenerError):
    """Base of what a peer can do to us as an SCU."""


class PeerUnreachableError(PeerError):
    """No TCP connection, or no answer to the association request in time."""


class PeerTLSError(PeerError):
    """The TLS handshake with a peer failed; the text says why in plain words."""


class AssociationRejectedError(PeerError):
    """The peer answered A-ASSOCIATE-RJ.

    Attributes:
        transient: True when the peer says that a later try may succeed (PS3.8 9.3.4).
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


class NoPresentationContextError(PeerError):
    """The peer accepts none of the presentation contexts that are needed."""


class AssociationAbortedError(PeerError):
    """The association ended before the work did."""


class CommitmentRefusedError(PeerError):
    """The peer answered a storage commitment request or report with a failure status.

    Attributes:
        status: the DIMSE status, an int from 0x0000 to 0xFFFF.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(f"{message} (status {status:04X}H)")
        self.status = status


class QueryFailedError(PeerError):
    """The peer answered a C-FIND, C-MOVE or C-GET with a failure status.

    Attributes:
        status: the DIMSE status, an int from 0x0000 to 0xFFFF.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status
