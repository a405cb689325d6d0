"""How the node names itself in what it writes."""

import hashlib
from importlib.metadata import version

from mediclip_dicom.results import Device
from mediclip_dicom.settings.settings import Settings


def node_device(settings: Settings) -> Device:
    """The node as a device (TID 1004), its UID derived from what the site calls it."""
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
