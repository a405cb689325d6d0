"""How the listener is set, and what it tells about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """How the Storage SCP presents itself and what it allows.

    Attributes:
        ae_title: our Application Entity title, at most 16 characters; peers must call it.
        host: address to listen on.
        port: TCP port; 0 lets the operating system choose one.
        calling_ae_titles: who may associate; None lets anyone in and warns at start.
        max_pdu: bytes of a PDU that we are ready to receive (PS3.8 D.1).
        max_associations: associations at the same time; one more is rejected as transient.
        acse_timeout_s: seconds to wait for an association request, release or abort.
        dimse_timeout_s: seconds to wait for a DIMSE message that has begun.
        network_timeout_s: seconds without any data until an association is aborted.
        stop_timeout_s: seconds that running associations get to end when we stop.
        min_free_bytes: an instance that would leave less free space is refused with A700H.
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int = 11112
    calling_ae_titles: frozenset[str] | None = None
    max_pdu: int = 128 * 1024
    max_associations: int = 100
    acse_timeout_s: float = 30.0
    dimse_timeout_s: float = 60.0
    network_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0
    min_free_bytes: int = 1024**3


@dataclass(frozen=True, slots=True)
class ListenerStatistics:
    """Counts since start. `refused_*` are C-STORE answers, `rejected_*` associations."""

    associations: int
    rejected_calling_ae: int
    rejected_called_ae: int
    rejected_other: int
    aborted: int
    echoes: int
    stored: int
    stored_bytes: int
    duplicates: int
    refused_invalid: int
    refused_mismatch: int
    refused_resources: int


@dataclass(frozen=True, slots=True)
class AssociationEnd:
    """An association that is over.

    Attributes:
        study_instance_uids: the studies that it stored instances of.
        released: True for an orderly release, False for an abort or a lost connection.
    """

    calling_ae_title: str
    study_instance_uids: frozenset[str]
    released: bool
