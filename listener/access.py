"""Access to the Storage SCP: peers that may associate, their rights and their limits."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_OBJECT_BYTES = 2**31
"""Default limit of the bytes of one data set."""

_PERMANENT, _TRANSIENT = 0x01, 0x02
_SERVICE_USER, _PRESENTATION = 0x01, 0x03


class Permission(StrEnum):
    """Right of a peer; C-ECHO needs none.

    Attributes:
        STORE: C-STORE of instances.
        FIND: C-FIND.
        COMMITMENT: requests for storage commitment of instances that it sent.
        REPORT: storage commitment reports about instances that we sent.

    Example:
        >>> ct = AllowedPeer("ct1", "CT1", may=frozenset({Permission.STORE, Permission.FIND}))
        >>> Permission.FIND in ct.may
        True
    """

    STORE = "store"
    FIND = "find"
    COMMITMENT = "commitment"
    REPORT = "report"


class Rejection(Enum):
    """Reason to reject an association: result, source and reason of A-ASSOCIATE-RJ (PS3.8 9.3.4).

    Unknown callers only learn that their title is not recognised; log and counters say why.
    """

    CALLING_AE = ("calling_ae", _PERMANENT, _SERVICE_USER, 3)
    ADDRESS = ("address", _PERMANENT, _SERVICE_USER, 3)
    TLS_NEEDED = ("tls_needed", _PERMANENT, _SERVICE_USER, 3)
    CERTIFICATE_HOST = ("certificate_host", _PERMANENT, _SERVICE_USER, 3)
    CALLED_AE = ("called_ae", _PERMANENT, _SERVICE_USER, 7)
    PEER_LIMIT = ("peer_limit", _TRANSIENT, _PRESENTATION, 2)
    NODE_LIMIT = ("other", _TRANSIENT, _PRESENTATION, 2)
    DISK_LOW = ("disk_low", _TRANSIENT, _PRESENTATION, 1)

    def __init__(self, counter: str, result: int, source: int, reason: int) -> None:
        self.counter = counter
        self.result = result
        self.source = source
        self.reason = reason

    @property
    def explanation(self) -> str:
        """Reason in words, for the log."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Rejection.CALLING_AE: "no peer with this calling AE title is allowed",
    Rejection.ADDRESS: "the peer with this calling AE title is expected at another address",
    Rejection.TLS_NEEDED: "the peer with this calling AE title must use TLS",
    Rejection.CERTIFICATE_HOST: "the certificate is not for the host of this peer",
    Rejection.CALLED_AE: "the called AE title is not the one of this node",
    Rejection.PEER_LIMIT: "this peer has as many associations as it may have",
    Rejection.NODE_LIMIT: "the node has as many associations as it may have",
    Rejection.DISK_LOW: "the disk of the spool is nearly full",
}


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Limits of one peer.

    Attributes:
        associations: at the same time.
        instances_per_s: faster senders get delayed answers, nothing is refused; None: no limit.
        object_bytes: of one data set; a larger one is answered with A700H and not kept.

    Example:
        >>> slow = PeerLimits(associations=2, instances_per_s=10.0)
        >>> AllowedPeer("archive", "ARCHIVE", limits=slow).limits.object_bytes
        2147483648
    """

    associations: int = 25
    instances_per_s: float | None = None
    object_bytes: int = DEFAULT_OBJECT_BYTES


@dataclass(frozen=True, slots=True)
class AllowedPeer:
    """Peer that may associate.

    Attributes:
        name: our name of it, in logs and metrics.
        ae_title: its calling AE title.
        host: its address, network ("192.0.2.0/24") or host name; None: any address.
        tls: True requires TLS, and a certificate for `host` unless that is a network.
        may: its rights.
        limits: its limits.

    Example:
        >>> ct = AllowedPeer("ct1", "CT1", host="192.0.2.0/24")
        >>> ListenerSettings("NODE", peers=(ct,)).peers[0].name
        'ct1'
    """

    name: str
    ae_title: str
    host: str | None = None
    tls: bool = False
    may: frozenset[Permission] = frozenset((Permission.STORE,))
    limits: PeerLimits = field(default_factory=PeerLimits)


@dataclass(frozen=True, slots=True)
class Caller:
    """Requestor of an association.

    Attributes:
        ae_title: its calling AE title.
        called_ae_title: AE title that it calls.
        address: its IP address.
        tls: whether it uses TLS.
        certificate_names: host names and addresses in its certificate; None without one.
    """

    ae_title: str
    called_ae_title: str
    address: str
    tls: bool = False
    certificate_names: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Decision about callers; a caller that is not named is rejected.

    Attributes:
        ae_title: our own AE title, which a caller must call.
        peers: allowed peers; the first that matches counts.
        anonymous_peer: rights of every caller that is not named; None rejects them. Setting it
            opens the node to everyone.
    """

    ae_title: str
    peers: tuple[AllowedPeer, ...] = ()
    anonymous_peer: AllowedPeer | None = None

    def decide(self, caller: Caller) -> AllowedPeer | Rejection:
        """Return the peer that matches a caller, or the reason to reject it."""
        peer = self._peer(caller)
        if isinstance(peer, AllowedPeer) and caller.called_ae_title != self.ae_title:
            return Rejection.CALLED_AE
        return peer

    def _peer(self, caller: Caller) -> AllowedPeer | Rejection:
        named = [peer for peer in self.peers if peer.ae_title == caller.ae_title]
        rejections: list[Rejection] = []
        for peer in named:
            rejection = _mismatch(peer, caller)
            if rejection is None:
                return peer
            rejections.append(rejection)
        if rejections:  # a known title must not get in as an anonymous peer with fewer duties
            return _closest(rejections)
        return self.anonymous_peer or Rejection.CALLING_AE


def _mismatch(peer: AllowedPeer, caller: Caller) -> Rejection | None:
    if peer.host is not None and not _is_at(peer.host, caller.address):
        return Rejection.ADDRESS
    if not peer.tls:
        return None
    if not caller.tls:
        return Rejection.TLS_NEEDED
    if peer.host is not None and not _certificate_covers(peer.host, caller.certificate_names):
        return Rejection.CERTIFICATE_HOST
    return None


def _closest(rejections: Iterable[Rejection]) -> Rejection:
    """Return the reason of the peer that the caller matches best."""
    order = (Rejection.CERTIFICATE_HOST, Rejection.TLS_NEEDED, Rejection.ADDRESS)
    return min(rejections, key=order.index)


def _is_at(host: str, address: str) -> bool:
    """Check an address against a host, given as address, network or name."""
    caller = _ip(address)
    try:
        return caller in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return caller in _resolved(host)


def _resolved(host: str) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(_ip(str(entry[4][0])) for entry in found)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _certificate_covers(host: str, names: frozenset[str] | None) -> bool:
    if names is None:
        return False
    try:
        network = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return _names_match(names, host)
    if network.num_addresses > 1:
        return True  # A certificate can't name a network; a trusted issuer is enough here.
    return _names_match(names, network.network_address)


def _names_match(
    names: Iterable[str], host: str | ipaddress.IPv4Address | ipaddress.IPv6Address
) -> bool:
    """Check the names of a certificate against a host (RFC 9525) with service-identity.

    A wildcard counts for the whole leftmost label, and only below a domain of two labels or more.
    """
    # Imported here: only peers over TLS need it, and it loads a cryptography library.
    from service_identity import CertificateError, VerificationError, hazmat

    patterns: list[hazmat.CertificatePattern] = []
    for name in names:
        try:
            patterns.append(hazmat.IPAddressPattern(ipaddress.ip_address(name.strip())))
        except ValueError:
            with suppress(CertificateError):  # one unusable name does not spoil the others
                patterns.append(hazmat.DNSPattern.from_bytes(name.encode().rstrip(b".")))
    wanted: hazmat.ServiceID
    try:
        wanted = (
            hazmat.DNS_ID(host.rstrip(".")) if isinstance(host, str) else hazmat.IPAddress_ID(host)
        )
        hazmat.verify_service_identity(patterns, obligatory_ids=[wanted], optional_ids=[])
    except (CertificateError, VerificationError, ValueError):
        return False
    return True
