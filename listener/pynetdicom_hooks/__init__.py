"""Hooks into pynetdicom: the only package that imports its private modules and names."""

from listener.pynetdicom_hooks.acceptor import caller_of, end_without_request, reject
from listener.pynetdicom_hooks.c_store_messages import (
    InstanceReceiver,
    StoreResponse,
    StoreService,
)
from listener.pynetdicom_hooks.commands import CommandSet
from listener.pynetdicom_hooks.options import configure_libraries
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
    "end_without_request",
    "reject",
]
