"""The DICOM network and the disk: a durable Storage SCP and a retrying Storage SCU."""

from listener.access import AllowedPeer, PeerLimits, Permission
from listener.arrivals import Arrivals, StudyActivity
from listener.errors import ListenerError
from listener.lifecycle import Running
from listener.periodic import Repeating
from listener.processes.pool import ListenerProcesses
from listener.scp.c_find import FindQuery
from listener.scp.commitment import CommitmentProvider
from listener.scp.receiver import Receiver
from listener.scp.scp import StorageSCP
from listener.scu.association import Peer
from listener.scu.commitment import CommitmentReport, Reference, request_commitment
from listener.scu.query import find, get, move
from listener.scu.store import EchoResult, StoreCategory, StoreOutcome, echo, store
from listener.settings import (
    AssociationEnd,
    ListenerSettings,
    ListenerStatistics,
    TLSPort,
)
from listener.spool.layout import content_digest
from listener.spool.spool import Spool, SpooledInstance, StoredInstance, newest, oldest
from listener.tls import TLSFiles

__all__ = [
    "AllowedPeer",
    "Arrivals",
    "AssociationEnd",
    "CommitmentProvider",
    "CommitmentReport",
    "EchoResult",
    "FindQuery",
    "ListenerError",
    "ListenerProcesses",
    "ListenerSettings",
    "ListenerStatistics",
    "Peer",
    "PeerLimits",
    "Permission",
    "Receiver",
    "Reference",
    "Repeating",
    "Running",
    "Spool",
    "SpooledInstance",
    "StorageSCP",
    "StoreCategory",
    "StoreOutcome",
    "StoredInstance",
    "StudyActivity",
    "TLSFiles",
    "TLSPort",
    "content_digest",
    "echo",
    "find",
    "get",
    "move",
    "newest",
    "oldest",
    "request_commitment",
    "store",
]
