"""Content of a study: the instances that were sent to the node, less its own results."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from listener import InstanceFile, Spool, content_digest, newest, oldest
from mediclip_dicom.database import ResultFile
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.set_aside import SetAside, choose_contents


def open_spool(settings: Settings, *, section: str = "") -> Spool:
    """Open the node's spool, with the configuration's choice among contents under one UID.

    Args:
        settings: the configuration.
        section: the part of `incoming/` that this process writes to, where several receive.

    Raises:
        listener.ListenerError: the folders can't be made.
    """
    replaces = settings.gathering.same_uid == "replace"
    return Spool(
        settings.storage.spool, choose_current=newest if replaces else oldest, section=section
    )


@dataclass(frozen=True, slots=True)
class StudyContent:
    """Content of a study.

    Attributes:
        instances: the content of each SOP instance that is read.
        unread: contents under the same SOP Instance UIDs that no verdict may ignore.
        set_aside: number of all further contents, older versions included.
        digest: hex digest, the same for the same content.
    """

    instances: tuple[InstanceFile, ...]
    unread: tuple[SetAside, ...]
    set_aside: int
    digest: str


def study_content(session: Session, spool: Spool, study_instance_uid: str) -> StudyContent:
    """List the instances of a study, and the contents that are set aside.

    A fused picture of ours that a PACS routes back is no new content: it would make a revision,
    that another picture, and so on for ever. Our other results are not negotiated at all.

    Raises:
        OSError: one of several contents under a SOP Instance UID can't be read.
    """
    versions: dict[str, list[InstanceFile]] = {}
    for version in spool.versions(study_instance_uid):
        versions.setdefault(version.sop_instance_uid, []).append(version)
    series = {item.series_instance_uid for items in versions.values() for item in items}
    own = set(
        session.scalars(
            select(ResultFile.sop_instance_uid).where(ResultFile.series_instance_uid.in_(series))
        )
    )
    chosen = [
        choose_contents(spool, items) for uid, items in sorted(versions.items()) if uid not in own
    ]
    instances = tuple(current for current, _ in chosen)
    unread = tuple(item for _, items in chosen for item in items)
    return StudyContent(
        instances=instances,
        unread=unread,
        set_aside=sum(len(versions[item.sop_instance_uid]) - 1 for item in instances),
        digest=_digest(instances, unread),
    )


def _digest(instances: Sequence[InstanceFile], unread: Sequence[SetAside]) -> str:
    """Return the digest of what is read, and of what is not where there is any."""
    digest = content_digest(instances)
    if not unread:
        return digest
    lines = sorted(
        f"{item.file.sop_instance_uid} {item.file.series_instance_uid} {item.file.digest}"
        for item in unread
    )
    return hashlib.sha256("\n".join([digest, *lines]).encode()).hexdigest()
