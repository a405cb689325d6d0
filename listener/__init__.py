"""The DICOM network and the disk: a durable Storage SCP and a retrying Storage SCU."""

from listener.arrivals import Arrivals, StudyActivity
from listener.errors import ListenerError
from listener.peer import Peer
from listener.query import find, get, move
from listener.scp import StorageSCP
from listener.scu import EchoResult, StoreCategory, StoreOutcome, echo, store
from listener.settings import ListenerSettings, ListenerStatistics
from listener.spool import Spool, SpooledInstance, StoredInstance

__all__ = [
    "Arrivals",
    "EchoResult",
    "ListenerError",
    "ListenerSettings",
    "ListenerStatistics",
    "Peer",
    "Spool",
    "SpooledInstance",
    "StorageSCP",
    "StoreCategory",
    "StoreOutcome",
    "StoredInstance",
    "StudyActivity",
    "echo",
    "find",
    "get",
    "move",
    "store",
]
