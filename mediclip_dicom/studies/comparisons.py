"""Comparisons of findings with normal patches, as they were stored with a verdict; no torch."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mediclip_dicom.database import TaskVerdict
from mediclip_dicom.results import Findings, NormalPatch
from mediclip_dicom.studies.findings import findings_from_json
from mediclip_dicom.tasks import read_support_pictures


def stored_comparisons(
    session: Session, run_id: str, version_id: int, findings: Findings
) -> tuple[NormalPatch, ...] | None:
    """Read the nearest normal patches of findings back, with the pictures of their images.

    Args:
        session: of the database.
        run_id: the run that read the study.
        version_id: the task version that did.
        findings: those of the reading, found again; one that is not as it was stored, since another
            release finds otherwise, is left out.

    Returns:
        A patch for each finding that has one; None where no finding was compared.
    """
    verdict = session.get(TaskVerdict, (run_id, version_id))
    stored = None if verdict is None else findings_from_json(verdict.findings)
    rows = {
        (row.number, row.key_sop_uid, row.key_frame): row.normal
        for row in (() if stored is None else stored.reported)
        if row.normal is not None
    }
    pictures = read_support_pictures(session, version_id, {row.index for row in rows.values()})
    found = []
    for finding in findings.reported:
        normal = rows.get((finding.number, *finding.key_image.frame_key))
        if normal is not None and normal.index in pictures:
            found.append(
                NormalPatch(
                    finding=finding.number,
                    number=normal.number,
                    study=normal.study,
                    image=normal.image,
                    frame=normal.frame,
                    index=normal.index,
                    grid=normal.grid,
                    peak=normal.peak,
                    place=normal.place,
                    distance=normal.distance,
                    picture=pictures[normal.index].picture,
                )
            )
    return tuple(found) or None
