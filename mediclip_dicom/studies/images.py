"""Images of a study revision: header facts are parsed once, when the revision is taken."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mediclip_dicom.database import RevisionInstance, StudyRevision
from mediclip_dicom.errors import UnsupportedImageError
from mediclip_dicom.imaging import (
    PatientIdentity,
    SourceImage,
    header_from_json,
    header_to_json,
    read_header_and_patient,
    reading_order,
)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """Facts of one instance as its row keeps them; one of the two is None.

    Attributes:
        header: the header of an image, as `imaging.header_to_json` writes it.
        not_an_image: the reason why the instance holds no image for the node.
        patient: patient of an image, to be compared and never stored.
        frames: number of frames of an image.
    """

    header: str | None
    not_an_image: str | None
    patient: PatientIdentity | None = None
    frames: int = 0


def parse_header(path: Path, *, own_device_uid: str) -> HeaderFacts:
    """Parse the header of an instance.

    Args:
        path: a Part 10 file.
        own_device_uid: the node's results are no images for it (loop guard).

    Raises:
        OSError: the file can't be read.
    """
    try:
        header, patient = read_header_and_patient(path, own_device_uid=own_device_uid)
    except UnsupportedImageError as error:
        return HeaderFacts(None, str(error)[:512])
    return HeaderFacts(
        header_to_json(header), None, patient=patient, frames=header.number_of_frames
    )


def revision_images(
    revision: StudyRevision,
    spool_root: Path,
    *,
    own_device_uid: str,
    only: Collection[str] | None = None,
) -> tuple[tuple[SourceImage, ...], dict[str, str]]:
    """List the images of a revision in reading order, apart from its other instances.

    Args:
        revision: its instances are loaded by the session that it belongs to.
        spool_root: the folder that paths begin at.
        own_device_uid: as for `parse_header`, in revisions of releases that kept no headers.
        only: the SOP Instance UIDs of the instances wanted; None: all.

    Returns:
        The images, and the reason for each SOP Instance UID that is no image.

    Raises:
        OSError: the file of an instance without header facts can't be read.
    """
    images: list[SourceImage] = []
    others: dict[str, str] = {}
    for instance in revision.instances:
        if only is not None and instance.sop_instance_uid not in only:
            continue
        path = spool_root / instance.path
        facts = _facts(instance, path, own_device_uid=own_device_uid)
        if facts.header is None:
            others[instance.sop_instance_uid] = facts.not_an_image or "no image"
        else:
            images.append(SourceImage(path, header_from_json(facts.header)))
    return tuple(sorted(images, key=reading_order)), others


def _facts(instance: RevisionInstance, path: Path, *, own_device_uid: str) -> HeaderFacts:
    if instance.header is None and instance.not_an_image is None:
        return parse_header(path, own_device_uid=own_device_uid)
    return HeaderFacts(instance.header, instance.not_an_image)
