"""Peers, destinations and certificates of the configuration, in the listener's types."""

from dataclasses import replace

from listener import (
    AllowedPeer,
    ListenerSettings,
    Peer,
    PeerLimits,
    Permission,
    TLSFiles,
    TLSPort,
)
from mediclip_dicom.settings import DestinationSettings, PeerSettings, Settings

STRANGER = "stranger"
"""The name in logs and metrics of a peer that an open node let in."""


def listener_settings(settings: Settings) -> ListenerSettings:
    """Settings of the listener, with the peers that may call."""
    node, tls = settings.node, settings.tls
    files = tls_files(settings)
    return ListenerSettings(
        ae_title=node.ae_title,
        host=node.host,
        port=None if tls.only else node.port,
        peers=_peers(settings),
        anonymous_peer=_stranger(node.max_associations) if node.open else None,
        tls=None if files is None else TLSPort(files, tls.port, tls.handshake_timeout_s),
        max_associations=node.max_associations,
        network_timeout_s=node.network_timeout_s,
        min_free_bytes=settings.storage.min_free_mb * 2**20,
        min_free_percent=settings.storage.min_free_percent,
    )


def destination_peer(settings: Settings, destination: DestinationSettings) -> Peer:
    """Address of a destination."""
    return _peer(settings, destination, port=destination.port)


def tls_files(settings: Settings) -> TLSFiles | None:
    """Files of the certificates; None without TLS."""
    tls = settings.tls
    if tls.certificate is None or tls.private_key is None or tls.trusted is None:
        return None
    return TLSFiles(
        certificate=tls.certificate,
        private_key=tls.private_key,
        trusted=tls.trusted,
        minimum_version=tls.minimum_version,
    )


def report_address(settings: Settings, name: str) -> Peer | None:
    """Address for commitment reports to a peer; None if no port is configured."""
    for peer in settings.peers:
        if peer.name == name and peer.port is not None and not peer.is_network:
            return _peer(settings, peer, port=peer.port)
    return None


def _peer(settings: Settings, block: PeerSettings | DestinationSettings, *, port: int) -> Peer:
    return Peer(
        ae_title=block.ae_title,
        host=block.host,
        port=port,
        calling_ae_title=settings.node.ae_title,
        connect_timeout_s=settings.delivery.connect_timeout_s,
        tls=tls_files(settings) if block.tls else None,
    )


def _peers(settings: Settings) -> tuple[AllowedPeer, ...]:
    """Peers that may call; a destination that is asked for commitment may call to report."""
    reporting = {d.ae_title: d for d in settings.confirming}
    peers = [_allowed(peer) for peer in settings.peers]
    named = [
        replace(peer, may=peer.may | {Permission.REPORT}) if peer.ae_title in reporting else peer
        for peer in peers
    ]
    known = {peer.ae_title for peer in peers}
    named += [
        AllowedPeer(
            destination.name,
            title,
            host=destination.host,
            tls=destination.tls,
            may=frozenset({Permission.REPORT}),
        )
        for title, destination in reporting.items()
        if title not in known
    ]
    return tuple(named)


def _allowed(peer: PeerSettings) -> AllowedPeer:
    return AllowedPeer(
        name=peer.name,
        ae_title=peer.ae_title,
        host=peer.host or None,
        tls=peer.tls,
        may=frozenset(Permission(right) for right in peer.may),
        limits=PeerLimits(
            associations=peer.max_associations,
            instances_per_s=peer.max_instances_per_s or None,
            object_bytes=peer.max_object_mb * 2**20,
        ),
    )


def _stranger(associations: int) -> AllowedPeer:
    return AllowedPeer(STRANGER, "", limits=PeerLimits(associations=associations))
