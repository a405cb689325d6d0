"""Device observer (TID 1004): the node's name in every object that it writes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version

from mediclip_dicom.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Device that writes the results: this node.

    Attributes:
        uid: the device's UID; the loop guard knows the node's own results by it.
    """

    uid: str
    name: str
    manufacturer: str
    model: str
    serial: str
    software_version: str


def node_device(settings: Settings) -> Device:
    """Make the node's device; its UID is derived from the configured names."""
    device = settings.device
    name = "|".join((device.manufacturer, device.model, device.name, device.serial_number))
    digest = hashlib.sha256(name.encode()).digest()[:16]
    return Device(
        # PS3.5 B.2: a UID below 2.25 is a 128-bit integer.
        uid=f"2.25.{int.from_bytes(digest)}",
        name=device.name,
        manufacturer=device.manufacturer,
        model=device.model,
        serial=device.serial_number,
        software_version=version("mediclip-dicom"),
    )
