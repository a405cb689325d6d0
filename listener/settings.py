"""Settings of the Storage SCP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from listener.access import AllowedPeer
    from listener.tls import TLSFiles


@dataclass(frozen=True, slots=True)
class TLSPort:
    """Port for peers over TLS.

    Attributes:
        files: certificates and key.
        port: TCP port; 0 lets the operating system choose one.
        handshake_timeout_s: limit of one handshake in seconds.

    Example:
        >>> files = TLSFiles(Path("node.pem"), Path("node.key"), Path("issuers.pem"))
        >>> ListenerSettings("NODE", port=None, tls=TLSPort(files)).tls.port
        2762
    """

    files: TLSFiles
    port: int = 2762
    handshake_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """Settings of the Storage SCP.

    Attributes:
        ae_title: our Application Entity title, at most 16 characters; peers must call it.
        host: address to listen on.
        port: TCP port; 0 lets the operating system choose one; None: TLS only.
        peers: peers that may associate.
        anonymous_peer: rights of every caller that is not named; None rejects them.
        tls: port for peers over TLS; None: there is none.
        max_pdu: largest PDU that we receive, in bytes (PS3.8 D.1).
        max_associations: associations at the same time; one more is rejected as transient.
        max_unestablished: connections from one address that have no association yet.
        acse_timeout_s: seconds to wait for an association request, release or abort.
        dimse_timeout_s: seconds to wait for a DIMSE message that has begun.
        network_timeout_s: seconds without any data until an association is aborted, and seconds
            that one PDU may take from its first byte to its last.
        stop_timeout_s: seconds that running associations have to end at a stop.
        min_free_bytes: an instance that would leave less free space is refused with A700H, and
            below it new associations are rejected as transient.
        min_free_percent: likewise, of the file system's size; the larger of the two counts.
        share_port: True if other processes listen on the same ports (SO_REUSEPORT); see
            `SharedLimits`.

    Example:
        A node that takes instances from one scanner and from nobody else:

        >>> settings = ListenerSettings("NODE", port=0, peers=(AllowedPeer("ct1", "CT1"),))
        >>> settings.max_associations
        100
    """

    ae_title: str
    host: str = "127.0.0.1"
    port: int | None = 11112
    peers: tuple[AllowedPeer, ...] = ()
    anonymous_peer: AllowedPeer | None = None
    tls: TLSPort | None = None
    max_pdu: int = 128 * 1024
    max_associations: int = 100
    max_unestablished: int = 64
    acse_timeout_s: float = 30.0
    dimse_timeout_s: float = 60.0
    network_timeout_s: float = 120.0
    stop_timeout_s: float = 30.0
    min_free_bytes: int = 1024**3
    min_free_percent: float = 0.0
    share_port: bool = False
