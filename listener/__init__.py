"""DICOM network and disk: a durable Storage SCP and a retrying Storage SCU.

Everything that other packages use is exported here; errors other than their base are in
`listener.errors`.
"""

from listener.access import AllowedPeer, PeerLimits, Permission
from listener.arrivals import Arrivals, StudyActivity
from listener.contexts import IMAGE_SOP_CLASSES, supported_contexts, transfer_syntaxes
from listener.encoded_text import EncodedText, encoded_texts
from listener.errors import ListenerError
from listener.lifecycle import Lifecycle, RepeatingTimer
from listener.scp import (
    AssociationEnd,
    CommitmentProvider,
    FindQuery,
    SharedLimits,
    SlotLease,
    StorageSCP,
    claim_port,
)
from listener.scu import (
    CommitmentReport,
    EchoResult,
    MoveResult,
    Peer,
    ProbeResult,
    SOPReference,
    StoreAbortedError,
    StoreCategory,
    StoreOutcome,
    Substitutes,
    decode_report,
    echo,
    find,
    get,
    inflated,
    move,
    probe,
    request_commitment,
    send_report,
    store,
)
from listener.settings import ListenerSettings, TLSPort
from listener.spool import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    InstanceFile,
    LowDiskMark,
    QuarantinedDataSet,
    Space,
    Spool,
    StoreReceipt,
    TransferInfo,
    content_digest,
    newest,
    oldest,
)
from listener.statistics import Counts, ListenerStatistics
from listener.tls import TLSFiles

__all__ = [
    "IMAGE_SOP_CLASSES",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "AllowedPeer",
    "Arrivals",
    "AssociationEnd",
    "CommitmentProvider",
    "CommitmentReport",
    "Counts",
    "EchoResult",
    "EncodedText",
    "FindQuery",
    "InstanceFile",
    "Lifecycle",
    "ListenerError",
    "ListenerSettings",
    "ListenerStatistics",
    "LowDiskMark",
    "MoveResult",
    "Peer",
    "PeerLimits",
    "Permission",
    "ProbeResult",
    "QuarantinedDataSet",
    "RepeatingTimer",
    "SOPReference",
    "SharedLimits",
    "SlotLease",
    "Space",
    "Spool",
    "StorageSCP",
    "StoreAbortedError",
    "StoreCategory",
    "StoreOutcome",
    "StoreReceipt",
    "StudyActivity",
    "Substitutes",
    "TLSFiles",
    "TLSPort",
    "TransferInfo",
    "claim_port",
    "content_digest",
    "decode_report",
    "echo",
    "encoded_texts",
    "find",
    "get",
    "inflated",
    "move",
    "newest",
    "oldest",
    "probe",
    "request_commitment",
    "send_report",
    "store",
    "supported_contexts",
    "transfer_syntaxes",
]
