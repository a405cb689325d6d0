"""Content of a study: the instances that were sent to the node, less its own results."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from listener import InstanceFile, Spool, content_digest, newest, oldest
from mediclip_dicom.database import ResultFile
from mediclip_dicom.settings import Settings


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


def study_content(
    session: Session, spool: Spool, study_instance_uid: str
) -> tuple[tuple[InstanceFile, ...], str]:
    """List the instances of a study, with a hex digest that is the same for the same content.

    A fused picture of ours that a PACS routes back is no new content: it would make a revision,
    that another picture, and so on for ever. Our other results are not negotiated at all.
    """
    spooled = spool.instances(study_instance_uid)
    series = {instance.series_instance_uid for instance in spooled}
    own = set(
        session.scalars(
            select(ResultFile.sop_instance_uid).where(ResultFile.series_instance_uid.in_(series))
        )
    )
    instances = tuple(item for item in spooled if item.sop_instance_uid not in own)
    return instances, content_digest(instances)
