"""Delivery of results: peers, destinations, sending, storage commitment, and answers to C-FIND."""

from mediclip_dicom.delivery.c_find import FindableResults
from mediclip_dicom.delivery.commitment import Confirming
from mediclip_dicom.delivery.destinations import Destination, open_destination
from mediclip_dicom.delivery.peers import (
    destination_peer,
    listener_settings,
    report_address,
    tls_files,
)
from mediclip_dicom.delivery.sending import Delivering, is_transient

__all__ = [
    "Confirming",
    "Delivering",
    "Destination",
    "FindableResults",
    "destination_peer",
    "is_transient",
    "listener_settings",
    "open_destination",
    "report_address",
    "tls_files",
]
