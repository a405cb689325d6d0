"""Services that we provide as an SCP: Verification, Storage, Storage Commitment, C-FIND."""

from listener.scp.associations import AssociationEnd
from listener.scp.c_find import FindQuery
from listener.scp.commitment import CommitmentProvider
from listener.scp.scp import StorageSCP
from listener.scp.shared_limits import SharedLimits, SlotLease, claim_port

__all__ = [
    "AssociationEnd",
    "CommitmentProvider",
    "FindQuery",
    "SharedLimits",
    "SlotLease",
    "StorageSCP",
    "claim_port",
]
