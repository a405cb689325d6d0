"""Studies in the spool whose present content has no study run, as after a crash."""

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.database import Study, StudyRevision
from mediclip_dicom.studies.content import study_content


def unread_studies(sessions: sessionmaker[Session], spool: Spool) -> list[str]:
    """List the Study Instance UIDs of studies that were received and never analysed."""
    with sessions() as session:
        rows = session.execute(
            select(Study.study_instance_uid, StudyRevision.content_digest)
            .join(StudyRevision.study)
            .join(StudyRevision.runs)
        )
        read = {(study_uid, digest) for study_uid, digest in rows}
        unread = []
        for study_uid in spool.studies():
            instances, digest = study_content(session, spool, study_uid)
            if instances and (study_uid, digest) not in read:
                unread.append(study_uid)
    return unread
