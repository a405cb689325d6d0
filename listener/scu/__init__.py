"""Services that we use as an SCU: C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET, Storage Commitment."""

from listener.scu.association import Peer, associate
from listener.scu.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    CommitmentReport,
    SOPReference,
    decode_report,
    request_commitment,
    send_report,
    send_report_over,
)
from listener.scu.deflated import inflated
from listener.scu.outcome import StoreAbortedError, StoreCategory, StoreOutcome
from listener.scu.probe import ProbeResult, probe
from listener.scu.query import Level, MoveResult, find, get, move
from listener.scu.store import EchoResult, Substitutes, echo, store

__all__ = [
    "CLASS_CONFLICT",
    "NO_SUCH_INSTANCE",
    "CommitmentReport",
    "EchoResult",
    "Level",
    "MoveResult",
    "Peer",
    "ProbeResult",
    "SOPReference",
    "StoreAbortedError",
    "StoreCategory",
    "StoreOutcome",
    "Substitutes",
    "associate",
    "decode_report",
    "echo",
    "find",
    "get",
    "inflated",
    "move",
    "probe",
    "request_commitment",
    "send_report",
    "send_report_over",
    "store",
]
