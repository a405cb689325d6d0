"""The DICOM network and the disk: a durable Storage SCP and a retrying Storage SCU."""

from listener.access import AllowedPeer, PeerLimits, Permission
from listener.arrivals import Arrivals, StudyActivity
from listener.commitment import CommitmentReport, Reference, request_commitment
from listener.committing import CommitmentProvider
from listener.errors import ListenerError
from listener.finding import FindQuery
from listener.peer import Peer
from listener.processes import ListenerProcesses
from listener.query import find, get, move
from listener.receiver import Receiver
from listener.repeating import Repeating
from listener.running import Running
from listener.scp import StorageSCP
from listener.scu import EchoResult, StoreCategory, StoreOutcome, echo, store
from listener.settings import (
    AssociationEnd,
    ListenerSettings,
    ListenerStatistics,
    TLSPort,
)
from listener.spool import Spool, SpooledInstance, StoredInstance, newest, oldest
from listener.tls import TLSFiles
from listener.versions import content_digest

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
