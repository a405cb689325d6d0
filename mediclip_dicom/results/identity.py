"""Identity of a result: derived UIDs, equipment, and the same bytes at a repeat."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from mediclip_dicom.results.device import Device
from mediclip_dicom.results.reading import Reading
from mediclip_dicom.settings import ResultKind

if TYPE_CHECKING:
    from datetime import datetime

# Namespace of all derived UIDs; another one would change every UID ever derived.
_NAMESPACE = uuid.UUID("5a0c3d3e-7f5b-5c55-9d0e-3f6f2d1f6b7a")

# High, so that a work list sorts the results behind the images; stable, one per kind of object.
SERIES_NUMBERS: Mapping[ResultKind, int] = {
    "SEG": 9701,
    "SR": 9702,
    "FRACTIONAL": 9703,
    "PM": 9704,
    "SC": 9705,
    "KO": 9706,
}

LONG_STRING = 64  # characters of VR LO, PS3.5 6.2
_WARNING = ", not for diagnostic use"


def derive_uid(reading: Reading, *parts: str) -> str:
    """Derive a UID (2.25, PS3.5 B.2) from study, content, task version and parts."""
    name = "\n".join(
        (
            reading.study_instance_uid,
            reading.study_content_digest,
            reading.task_version_uid,
            *parts,
        )
    )
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def derive_class_uid(sop_instance_uid: str, sop_class_uid: str) -> str:
    """Derive the UID of an object that says the same in another SOP class."""
    name = f"{sop_instance_uid}\n{sop_class_uid}"
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def series_description(reading: Reading, *, label: str) -> str:
    """Write a Series Description of at most 64 characters, with the warning."""
    rest = f" {label}{_WARNING}"
    return to_ascii(reading.task_name)[: LONG_STRING - len(rest)] + rest


def to_ascii(text: str) -> str:
    """Replace characters outside ASCII: the object keeps the source's character set, which may not
    cover our text.
    """
    return text.encode("ascii", "replace").decode("ascii")


def ascii_device(device: Device) -> Device:
    """Return the device with names that fit VR LO and every character set."""
    fields = {
        name: to_ascii(getattr(device, name))[:LONG_STRING]
        for name in ("name", "manufacturer", "model", "serial", "software_version")
    }
    return dataclasses.replace(device, **fields)


def algorithm_parameters(reading: Reading) -> dict[str, str]:
    """List the parameters of a reading by name, the same in SEG and SR."""
    return {
        "task": to_ascii(reading.task_name),
        "task_version": str(reading.task_version),
        "task_version_uid": reading.task_version_uid,
        "preset": to_ascii(reading.preset),
        "k": str(reading.k),
        "operating_point": _number(reading.operating_point),
        "false_positive_rate": _number(reading.false_positive_rate),
        "p_value": _number(reading.p_value),
        "backbone": to_ascii(reading.backbone) if reading.backbone_trained else "untrained",
        "backbone_model": to_ascii(reading.backbone),
        "backbone_sha256": reading.backbone_sha256,
        "weights_sha256": reading.weights_sha256,
        "software_version": to_ascii(reading.software_version),
        "study_revision": str(reading.revision),
    }


def contributing_equipment(device: Device) -> ContributingEquipment:
    """Make the Contributing Equipment item that the loop guard knows our results by."""
    item = ContributingEquipment(
        manufacturer=device.manufacturer,
        purpose_of_reference=codes.DCM.ProcessingEquipment,
        manufacturer_model_name=device.model,
        software_versions=device.software_version,
        device_serial_number=device.serial,
        contribution_description="Anomaly detection, not for diagnostic use",
    )
    item.DeviceUID = device.uid
    return item


def equipment_arguments(device: Device) -> dict[str, Any]:
    """Return the equipment arguments that all constructors of highdicom share."""
    return {
        "manufacturer": device.manufacturer,
        "manufacturer_model_name": device.model,
        "software_versions": device.software_version,
        "device_serial_number": device.serial,
        "contributing_equipment": [contributing_equipment(device)],
        "specific_character_set": None,  # the source's is put in its place
    }


def algorithm_identification(reading: Reading, device: Device) -> AlgorithmIdentificationSequence:
    """Make the Algorithm Identification of a segment (PS3.3 C.8.20.2)."""
    return AlgorithmIdentificationSequence(
        name=to_ascii(reading.task_name)[:LONG_STRING],
        family=codes.DCM.ArtificialIntelligence,
        version=str(reading.task_version),
        source=device.manufacturer,
        parameters=algorithm_parameters(reading),
    )


def stamp(instance: Dataset, finished_at: datetime) -> None:
    """Set every date and time of an object to the moment when the analysis ended."""
    date, time = finished_at.strftime("%Y%m%d"), finished_at.strftime("%H%M%S.%f")
    for stem in ("InstanceCreation", "Content", "Series"):
        setattr(instance, f"{stem}Date", date)
        setattr(instance, f"{stem}Time", time)
    for item in instance.get("ContributingEquipmentSequence") or ():
        # highdicom sets the moment of writing, which differs at a repeat.
        item.pop("ContributionDateTime", None)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
