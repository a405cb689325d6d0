"""Intake of a study: its instances become a revision, and each image is matched to a task."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.database import (
    ImageScore,
    RevisionInstance,
    Run,
    RunState,
    Study,
    StudyRevision,
)
from mediclip_dicom.errors import StudyNotFoundError
from mediclip_dicom.imaging import PatientIdentity, Patients, SourceImage, compare_patients
from mediclip_dicom.results import UnreadContent, describe_changes, node_device
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.content import StudyContent, study_content
from mediclip_dicom.studies.images import HeaderFacts, parse_header, revision_images
from mediclip_dicom.tasks import Route, active_tasks, first_match, get_version

log = structlog.get_logger()


class Intake:
    """Steps before a study is scored; each may run twice and ends the same."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], spool: Spool) -> None:
        self._own_device_uid = node_device(settings).uid
        self._sessions = sessions
        self._spool = spool

    def take_revision(self, study_instance_uid: str) -> int:
        """Write down the instances of the study, each with the facts of its header.

        Returns:
            The id of the revision; the id of an earlier one where nothing has changed since.

        Raises:
            StudyNotFoundError: the spool holds no instance of the study.
            OSError: a file can't be read.
        """
        with self._sessions() as session:
            content = study_content(session, self._spool, study_instance_uid)
        if not content.instances:
            raise StudyNotFoundError(f"the spool holds no instance of study {study_instance_uid}")
        if (known := self._known_revision(study_instance_uid, content.digest)) is not None:
            return known
        # Before the transaction: nobody else can write while one is open in SQLite.
        facts = {
            file.path: parse_header(file.path, own_device_uid=self._own_device_uid)
            for file in (*content.instances, *(item.file for item in content.unread))
        }
        patients = _patients(content, facts)
        unread = [
            UnreadContent(
                sop_instance_uid=item.file.sop_instance_uid,
                series_instance_uid=item.file.series_instance_uid,
                frames=facts[item.file.path].frames,
                reason=item.reason,
            )
            for item in content.unread
            if facts[item.file.path].frames
        ]
        now = datetime.now(UTC)
        with self._sessions.begin() as session:
            study = session.scalar(
                select(Study).where(Study.study_instance_uid == study_instance_uid)
            )
            if study is None:
                study = Study(study_instance_uid=study_instance_uid, first_seen_at=now)
                session.add(study)
            revision = StudyRevision(
                study=study,
                number=len(study.revisions) + 1,
                content_digest=content.digest,
                set_aside=content.set_aside,
                unread=[asdict(item) for item in unread] or None,
                notes=[describe_changes(patients.changes)] if patients.changes else None,
                patients=patients.count,
                created_at=now,
                instances=[
                    RevisionInstance(
                        sop_instance_uid=instance.sop_instance_uid,
                        series_instance_uid=instance.series_instance_uid,
                        digest=instance.digest,
                        path=str(instance.path.relative_to(self._spool.root)),
                        header=facts[instance.path].header,
                        not_an_image=facts[instance.path].not_an_image,
                        patient=patients.numbers.get(instance.path, 1),
                    )
                    for instance in content.instances
                ],
            )
            session.add(revision)
            session.flush()
            log.info(
                "study.gathered",
                revision=revision.number,
                instances=len(content.instances),
                set_aside=content.set_aside,
                unread=len(unread),
                patients=patients.count,
            )
            return revision.id

    def _known_revision(self, study_instance_uid: str, digest: str) -> int | None:
        with self._sessions() as session:
            return session.scalar(
                select(StudyRevision.id)
                .join(StudyRevision.study)
                .where(
                    Study.study_instance_uid == study_instance_uid,
                    StudyRevision.content_digest == digest,
                )
            )

    def route(self, revision_id: int) -> str:
        """Match every image of a revision to a task version, and write down the run.

        Returns:
            The run's id, derived from study, content and task versions: a repeat is the same run.
        """
        with self._sessions() as session:
            revision = session.get_one(StudyRevision, revision_id)
            study_uid, digest = revision.study.study_instance_uid, revision.content_digest
            routes = [(task.definition.route, task.version_id) for task in active_tasks(session)]
            gone = _instances_gone(revision)
            images, others = revision_images(
                revision, self._spool.root, own_device_uid=self._own_device_uid
            )
        chosen = {
            image.path: None if gone else first_match(routes, image.header) for image in images
        }
        _add_excluded(chosen, images, routes)
        version_ids = sorted({v for v in chosen.values() if v is not None})
        with self._sessions.begin() as session:
            uids = [get_version(session, version_id).uid for version_id in version_ids]
            run_id = hashlib.sha256("|".join([study_uid, digest, *uids]).encode()).hexdigest()
            if session.get(Run, run_id) is not None:
                return run_id
            now = datetime.now(UTC)
            run = Run(
                id=run_id,
                revision_id=revision_id,
                state=RunState.QUEUED if version_ids else RunState.NO_TASK,
                reason=None if version_ids else gone or _why_no_task(images, routes=len(routes)),
                created_at=now,
                finished_at=None if version_ids else now,
            )
            session.add(run)
            session.add_all(
                ImageScore(
                    run_id=run_id,
                    sop_instance_uid=image.header.sop_instance_uid,
                    frame=frame,
                    task_version_id=chosen[image.path],
                    skipped="no task" if chosen[image.path] is None else None,
                )
                for image in images
                for frame in range(1, image.header.number_of_frames + 1)
            )
            session.add_all(
                ImageScore(run_id=run_id, sop_instance_uid=uid, frame=0, skipped=reason)
                for uid, reason in others.items()
            )
        log.info("study.routed", run_id=run_id, versions=len(version_ids))
        return run_id


def _add_excluded(
    chosen: dict[Path, int | None],
    images: Sequence[SourceImage],
    routes: Sequence[tuple[Route, int]],
) -> None:
    """Give images that a task excludes to it where it reads others, so that its report says so."""
    reading = set(chosen.values())
    for image in images:
        if chosen[image.path] is None:
            chosen[image.path] = next(
                (
                    version_id
                    for route, version_id in routes
                    if version_id in reading and route.exclusion(image.header) is not None
                ),
                None,
            )


def _patients(content: StudyContent, facts: Mapping[Path, HeaderFacts]) -> Patients:
    """Compare the patients of the images that are read; whose image came first is number 1."""
    identities: dict[Hashable, PatientIdentity] = {}
    for file in sorted(content.instances, key=lambda file: (file.received_at, file.path)):
        if (patient := facts[file.path].patient) is not None:
            identities[file.path] = patient
    return compare_patients(identities)


def _instances_gone(revision: StudyRevision) -> str | None:
    """Say why a revision can't be read: instances of an earlier one have left the disk."""
    here = {instance.sop_instance_uid for instance in revision.instances}
    before = [r for r in revision.study.revisions if r.number < revision.number]
    missing = {i.sop_instance_uid for r in before for i in r.instances} - here
    if not missing:
        return None
    return (
        f"{len(missing)} instances of this study have left the disk since it was read; send the "
        "whole study again"
    )


def _why_no_task(images: Sequence[SourceImage], *, routes: int) -> str:
    if not images:
        return "the study holds no image that can be analysed"
    if not routes:
        return "no task is registered"
    found = sorted({image.header.modality or "no modality" for image in images})
    return f"no task reads its images ({', '.join(found)})"
