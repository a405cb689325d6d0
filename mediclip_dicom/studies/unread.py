"""Studies in the spool whose present content has no study run, as after a crash."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.database import Study, StudyRevision
from mediclip_dicom.studies.content import study_content


@dataclass(frozen=True, slots=True)
class UnreadStudy:
    """Study that was received and never analysed as it is now.

    Attributes:
        study_uid: Study Instance UID.
        last_received_at: moment at which its latest instance was received, UTC.
    """

    study_uid: str
    last_received_at: datetime


def unread_studies(sessions: sessionmaker[Session], spool: Spool) -> list[UnreadStudy]:
    """List the studies that were received and never analysed as they are now."""
    with sessions() as session:
        rows = session.execute(
            select(Study.study_instance_uid, StudyRevision.content_digest)
            .join(StudyRevision.study)
            .join(StudyRevision.runs)
        )
        read = {(study_uid, digest) for study_uid, digest in rows}
        unread = []
        for study_uid in spool.studies():
            content = study_content(session, spool, study_uid)
            if content.instances and (study_uid, content.digest) not in read:
                received_at = max(
                    file.received_at
                    for file in (*content.instances, *(item.file for item in content.unread))
                )
                unread.append(UnreadStudy(study_uid, received_at))
    return unread
