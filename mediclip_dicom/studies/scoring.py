"""Scoring of a study run: scores, maps, verdicts and result objects."""

from dataclasses import replace

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import ImageScore, ResultFile, Run, RunState, TaskVerdict
from mediclip_dicom.imaging import Box
from mediclip_dicom.results import ImageReading, describe_patients, find, node_device, write_results
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.analysis import refuse_images, score_images
from mediclip_dicom.studies.comparing import compare_findings
from mediclip_dicom.studies.findings import finding_rows, findings_to_json
from mediclip_dicom.studies.reading import load_images, maps_path, stored_reading
from mediclip_dicom.studies.reuse import reuse_readings
from mediclip_dicom.studies.runs import set_run_state
from mediclip_dicom.tasks import DetectorStore, get_version

log = structlog.get_logger()


class Scoring:
    """Steps that need the detector; each may run twice and ends the same."""

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
        objects are reused. A run that has nothing else is done.
        """
        with self._sessions.begin() as session:
            routed = session.scalars(
                select(ImageScore.task_version_id)
                .where(ImageScore.run_id == run_id, ImageScore.task_version_id.is_not(None))
                .distinct()
            ).all()
            version_ids = sorted(version for version in routed if version is not None)
            unread = reuse_readings(session, run_id, version_ids)
        if version_ids and not unread:
            set_run_state(self._sessions, run_id, RunState.DONE)
        return unread

    def score(self, run_id: str, version_id: int) -> None:
        """Score the run's images with one task version; maps to disk, scores to the database."""
        set_run_state(self._sessions, run_id, RunState.SCORING)
        with self._sessions() as session:
            images = load_images(session, self._settings, run_id, version_id)
            version = get_version(session, version_id)
            patients = session.get_one(Run, run_id).revision.patients
        if patients > 1:
            scores = refuse_images(images, reason=describe_patients(patients))
        else:
            scores = score_images(
                images,
                detector=self._detectors.get(version_id),
                version=version,
                maps_path=maps_path(self._settings, run_id, version_id),
                batch_limit=self._settings.analysis.batch_size,
            )
        with self._sessions.begin() as session:
            for row in scores:
                session.execute(
                    update(ImageScore)
                    .where(
                        ImageScore.run_id == run_id,
                        ImageScore.sop_instance_uid == row.header.sop_instance_uid,
                        ImageScore.frame == row.frame_number,
                    )
                    .values(
                        score=row.score,
                        skipped=row.skipped,
                        box=list(box) if (box := _box(row)) is not None else None,
                    )
                )

    def write(self, run_id: str, version_id: int) -> None:
        """Write the result objects of one task version, and the verdict."""
        set_run_state(self._sessions, run_id, RunState.WRITING)
        with self._sessions() as session:
            reading = stored_reading(session, self._settings, run_id, version_id)
            version = get_version(session, version_id)
        findings = find(reading)
        if findings.reported:
            findings = replace(
                findings,
                compared=compare_findings(
                    self._sessions,
                    reading,
                    findings,
                    version=version,
                    detector=self._detectors.get(version_id),
                    backbone=self._detectors.backbone,
                ),
            )
        objects = write_results(
            reading,
            findings=findings,
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
                    findings=findings_to_json(finding_rows(findings)),
                )
            )
            for written in objects:
                known = session.get(ResultFile, written.sop_instance_uid)
                if known is not None and known.run_id != run_id:
                    continue  # a run of the same content at the same time; it delivers the object
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
            "study.read",
            task=reading.task_name,
            version=reading.task_version,
            verdict=reading.verdict,
            findings=len(findings.reported) + findings.further,
            objects=len(objects),
        )


def _box(image: ImageReading) -> Box | None:
    return None if image.placement is None else image.placement.box
