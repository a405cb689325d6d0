"""Hooks into pynetdicom: the only package that imports its private modules and names."""

from listener.pynetdicom_hooks.acceptor import (
    caller_of,
    end_reason,
    end_without_request,
    has_asked,
    note_end,
    reject,
    titles_of_request,
)
from listener.pynetdicom_hooks.c_store_messages import (
    InstanceReceiver,
    StoreResponse,
    StoreService,
)
from listener.pynetdicom_hooks.commands import CommandSet
from listener.pynetdicom_hooks.options import configure_libraries
from listener.pynetdicom_hooks.reasons import escaped
from listener.pynetdicom_hooks.requestor import RequestorEvents, RoleSelection
from listener.pynetdicom_hooks.server import AssociationServer, ConnectionGate, ServerOptions

__all__ = [
    "AssociationServer",
    "CommandSet",
    "ConnectionGate",
    "InstanceReceiver",
    "RequestorEvents",
    "RoleSelection",
    "ServerOptions",
    "StoreResponse",
    "StoreService",
    "caller_of",
    "configure_libraries",
    "end_reason",
    "end_without_request",
    "escaped",
    "has_asked",
    "note_end",
    "reject",
    "titles_of_request",
]
