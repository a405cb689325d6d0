"""From a study run to its scores, maps, verdicts and result objects."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import (
    ImageScore,
    ResultFile,
    Run,
    RunState,
    StudyRevision,
    TaskVerdict,
    TaskVersion,
)
from mediclip_dicom.imaging import SourceImage
from mediclip_dicom.results import PreviousReport, Reading, node_device, write_results
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.analysis import (
    FrameScore,
    RevisionFacts,
    make_reading,
    score_images,
)
from mediclip_dicom.studies.images import revision_images
from mediclip_dicom.studies.reuse import other_readings, reuse_readings
from mediclip_dicom.studies.runs import set_state
from mediclip_dicom.tasks import DetectorStore, VersionFacts, version_facts

log = structlog.get_logger()


class Scoring:
    """The steps that need the detector. Each may run twice and ends the same."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        detectors: DetectorStore,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._detectors = detectors

    def task_versions(self, run_id: str) -> list[int]:
        """List the task versions that are to read this run's images.

        A version that has read the same images of this content is left out: its verdict and its
        objects are reused.
        """
        with self._sessions.begin() as session:
            routed = session.scalars(
                select(ImageScore.task_version_id)
                .where(ImageScore.run_id == run_id, ImageScore.task_version_id.is_not(None))
                .distinct()
            ).all()
            version_ids = sorted(version for version in routed if version is not None)
            return reuse_readings(session, run_id, version_ids)

    def score(self, run_id: str, version_id: int) -> None:
        """Score the run's images with one task version; maps to disk, scores to the database."""
        set_state(self._sessions, run_id, RunState.SCORING)
        images, version = self._load(run_id, version_id)
        scores = score_images(
            images,
            detector=self._detectors.get(version_id),
            version=version,
            maps_path=self._maps_path(run_id, version_id),
            batch_limit=self._settings.analysis.batch_size,
        )
        with self._sessions.begin() as session:
            for row in scores:
                session.execute(
                    update(ImageScore)
                    .where(
                        ImageScore.run_id == run_id,
                        ImageScore.sop_instance_uid == row.sop_instance_uid,
                        ImageScore.frame == row.frame,
                    )
                    .values(score=row.score, skipped=row.skipped)
                )

    def write(self, run_id: str, version_id: int) -> None:
        """Write the result objects of one task version, and the verdict."""
        set_state(self._sessions, run_id, RunState.WRITING)
        reading = self.reading(run_id, version_id)
        objects = write_results(
            reading,
            device=node_device(self._settings),
            directory=self._settings.storage.results / run_id,
            kinds=self._settings.result_kinds,
        )
        with self._sessions.begin() as session:
            session.merge(
                TaskVerdict(
                    run_id=run_id,
                    task_version_id=version_id,
                    verdict=reading.verdict,
                    score=reading.score,
                    p_value=reading.p_value,
                    operating_point=reading.operating_point,
                )
            )
            for written in objects:
                session.merge(
                    ResultFile(
                        sop_instance_uid=written.sop_instance_uid,
                        run_id=run_id,
                        task_version_id=version_id,
                        kind=written.kind,
                        sop_class_uid=written.sop_class_uid,
                        series_instance_uid=written.series_instance_uid,
                        path=str(written.path.relative_to(self._settings.storage.results)),
                        digest=written.sha256,
                    )
                )
        log.info(
            "study read",
            task=reading.task_name,
            version=reading.task_version,
            verdict=reading.verdict,
            objects=len(objects),
        )

    def _load(self, run_id: str, version_id: int) -> tuple[Sequence[SourceImage], VersionFacts]:
        with self._sessions() as session:
            uids = set(
                session.scalars(
                    select(ImageScore.sop_instance_uid)
                    .where(ImageScore.run_id == run_id, ImageScore.task_version_id == version_id)
                    .distinct()
                )
            )
            images, _ = revision_images(
                session.get_one(Run, run_id).revision,
                self._settings.storage.spool.absolute(),
                own_device_uid=node_device(self._settings).uid,
                only=uids,
            )
            version = version_facts(session, version_id)
        return images, version

    def reading(self, run_id: str, version_id: int) -> Reading:
        """What a scored run says, as its results say it; the maps stay on disk."""
        images, version = self._load(run_id, version_id)
        with self._sessions() as session:
            run = session.get_one(Run, run_id)
            revision = RevisionFacts(
                number=run.revision.number,
                content_digest=_content_digest(session, run, version_id),
                analysed_at=run.created_at,
                predecessor=_previous_report(session, run, version_id),
            )
            rows = {
                (row.sop_instance_uid, row.frame): FrameScore(
                    row.sop_instance_uid, row.frame, row.score, row.skipped
                )
                for row in session.scalars(
                    select(ImageScore).where(
                        ImageScore.run_id == run_id, ImageScore.task_version_id == version_id
                    )
                )
            }
        scores = [
            rows[image.header.sop_instance_uid, frame]
            for image in images
            for frame in range(1, image.header.number_of_frames + 1)
        ]
        return make_reading(
            images,
            scores,
            self._maps_path(run_id, version_id),
            version=version,
            backbone=self._detectors.backbone,
            mode=self._detectors.get(version_id).info.preset.geometry,
            revision=revision,
        )

    def _maps_path(self, run_id: str, version_id: int) -> Path:
        return self._settings.storage.runs / run_id / f"{version_id}.npy"


def _content_digest(session: Session, run: Run, version_id: int) -> str:
    """Return the digest that the UIDs of a version's objects are derived from.

    A version that has read other images of the same content makes other objects, which must not
    bear the same UIDs.
    """
    digest = run.revision.content_digest
    if not other_readings(session, run, version_id):
        return digest
    return hashlib.sha256(f"{digest}|{run.id}".encode()).hexdigest()


def _previous_report(session: Session, run: Run, version_id: int) -> PreviousReport | None:
    """The task's last report on this study before the run; a repeat of the run finds the same."""
    task_id = session.get_one(TaskVersion, version_id).task_id
    found = session.scalar(
        select(ResultFile)
        .join(ResultFile.run)
        .join(Run.revision)
        .join(TaskVersion, TaskVersion.id == ResultFile.task_version_id)
        .where(
            ResultFile.kind == "SR",
            StudyRevision.study_id == run.revision.study_id,
            TaskVersion.task_id == task_id,
            Run.created_at < run.created_at,
        )
        .order_by(Run.created_at.desc())
        .limit(1)
    )
    if found is None:
        return None
    return PreviousReport(
        sop_class_uid=found.sop_class_uid,
        sop_instance_uid=found.sop_instance_uid,
        series_instance_uid=found.series_instance_uid,
    )
