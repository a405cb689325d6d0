"""What a study consists of for the node: what was sent to it, less what it wrote itself."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from listener import InstanceFile, Spool, content_digest
from mediclip_dicom.database import ResultFile


def study_content(
    session: Session, spool: Spool, study_instance_uid: str
) -> tuple[tuple[InstanceFile, ...], str]:
    """The instances of a study, and a hex digest of them that is the same for the same content.

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
