"""Durable inbox: received instances on disk before they are acknowledged."""

from listener.spool.disk import LowDiskMark, Space
from listener.spool.durable import locked, write_atomically
from listener.spool.incoming import IncomingDataSet
from listener.spool.layout import InstanceFile, StoreReceipt, content_digest, newest, oldest
from listener.spool.part10 import (
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    StoredHeader,
    TransferInfo,
    file_header,
    read_header,
)
from listener.spool.quarantine import QuarantinedDataSet
from listener.spool.spool import Spool

__all__ = [
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "IncomingDataSet",
    "InstanceFile",
    "LowDiskMark",
    "QuarantinedDataSet",
    "Space",
    "Spool",
    "StoreReceipt",
    "StoredHeader",
    "TransferInfo",
    "content_digest",
    "file_header",
    "locked",
    "newest",
    "oldest",
    "read_header",
    "write_atomically",
]
