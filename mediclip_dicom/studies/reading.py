"""Readings: the verdict on a study, its scores and maps; made from a stored run without torch."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as package_version
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ai_core import OperatingPoint, Verdict, aggregate
from mediclip_dicom.database import ImageScore, ResultFile, Run, StudyRevision, TaskVersion
from mediclip_dicom.imaging import Mode, Placement, SourceImage, place, smoothed_peak
from mediclip_dicom.results import (
    OTHER_PATIENT,
    ImageReading,
    PreviousReport,
    Reading,
    StoredMap,
    UnreadContent,
    node_device,
)
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.images import revision_images
from mediclip_dicom.studies.reuse import other_readings
from mediclip_dicom.tasks import TaskVersionInfo, get_version


@dataclass(frozen=True, slots=True)
class StudyVerdict:
    """Verdict of a task version on a study; `score` is None where no image could be scored."""

    verdict: Verdict
    score: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class RevisionInfo:
    """Study revision that was read, and the task's report on an earlier one, if any."""

    number: int
    content_digest: str
    analysed_at: datetime
    predecessor: PreviousReport | None = None
    unread: tuple[UnreadContent, ...] = ()
    notes: tuple[str, ...] = ()


def stored_reading(session: Session, settings: Settings, run_id: str, version_id: int) -> Reading:
    """Read back what a task version found in a scored run; the maps stay on disk.

    The write step, `render` and `export` share it: the same rows give the same reading.

    Args:
        session: of the database.
        settings: name the folders of the spool and of the maps.
        run_id: a run whose images have been scored.
        version_id: one of the run's task versions.
    """
    version = get_version(session, version_id)
    run = session.get_one(Run, run_id)
    loaded = load_images(session, settings, run_id, version_id)
    named, withheld = _of_one_patient(run.revision, loaded)
    images = _stored_images(
        named,
        {
            (row.sop_instance_uid, row.frame): row
            for row in session.scalars(
                select(ImageScore).where(
                    ImageScore.run_id == run_id, ImageScore.task_version_id == version_id
                )
            )
        },
        maps_path(settings, run_id, version_id),
        mode=version.geometry,
    )
    revision = RevisionInfo(
        number=run.revision.number,
        content_digest=_content_digest(session, run, version_id),
        analysed_at=run.created_at,
        predecessor=_previous_report(session, run, version_id),
        unread=(
            *(UnreadContent(**item) for item in run.revision.unread or ()),
            *(_withheld(image) for image in withheld),
        ),
        notes=tuple(run.revision.notes or ()),
    )
    return make_reading(images, version=version, revision=revision)


def _of_one_patient(
    revision: StudyRevision, images: Sequence[SourceImage]
) -> tuple[list[SourceImage], list[SourceImage]]:
    """Separate the images of the first of several patients, whose report names no other's."""
    numbers = {item.sop_instance_uid: item.patient for item in revision.instances}
    patients = [numbers[image.header.sop_instance_uid] for image in images]
    named: list[SourceImage] = []
    withheld: list[SourceImage] = []
    for image, patient in zip(images, patients, strict=True):
        (named if patient == min(patients) else withheld).append(image)
    return named, withheld


def _withheld(image: SourceImage) -> UnreadContent:
    return UnreadContent(
        sop_instance_uid=image.header.sop_instance_uid,
        series_instance_uid=image.header.series_instance_uid,
        frames=image.header.number_of_frames,
        reason=OTHER_PATIENT,
    )


def load_images(
    session: Session, settings: Settings, run_id: str, version_id: int
) -> tuple[SourceImage, ...]:
    """List the images that a task version reads in a run, in reading order."""
    uids = session.scalars(
        select(ImageScore.sop_instance_uid)
        .where(ImageScore.run_id == run_id, ImageScore.task_version_id == version_id)
        .distinct()
    )
    images, _ = revision_images(
        session.get_one(Run, run_id).revision,
        settings.storage.spool.absolute(),
        own_device_uid=node_device(settings).uid,
        only=frozenset(uids),
    )
    return images


def maps_path(settings: Settings, run_id: str, version_id: int) -> Path:
    """Name the file of a run's anomaly maps by one task version."""
    return settings.storage.runs / run_id / f"{version_id}.npy"


def make_reading(
    images: Sequence[ImageReading], *, version: TaskVersionInfo, revision: RevisionInfo
) -> Reading:
    """Collect all that the results say of a study in one frozen value.

    Args:
        images: every frame in reading order, scored or skipped.
        version: the task version that scored.
        revision: the study revision that was read.
    """
    operating_point = version.operating_point
    # A localizer has no part in the verdict; an image that could not be read keeps it from normal.
    study = judge(
        (image.score for image in images if not image.left_out),
        operating_point,
        study_score=_smoothed_score(images) if version.calibration.smoothed else None,
        unread=len(revision.unread),
    )
    return Reading(
        task_name=version.definition.name,
        task_version=version.number,
        task_version_uid=version.uid,
        verdict=study.verdict.value,
        score=study.score,
        p_value=study.p_value,
        operating_point=operating_point.threshold,
        false_positive_rate=operating_point.false_positive_rate,
        k=version.k,
        preset=version.preset,
        backbone=version.backbone,
        backbone_trained=version.backbone_trained,
        backbone_sha256=version.backbone_sha256,
        weights_sha256=version.weights_sha256,
        software_version=package_version("mediclip-dicom"),
        study_content_digest=revision.content_digest,
        revision=revision.number,
        finished_at=revision.analysed_at,
        predecessor=revision.predecessor,
        unread=revision.unread,
        notes=revision.notes,
        window=next(iter(version.definition.windows), None),
        p_value_of=operating_point.p_value if operating_point.calibrated else None,
        smoothed=version.calibration.smoothed,
        images=tuple(images),
    )


def judge(
    scores: Iterable[float | None],
    operating_point: OperatingPoint,
    *,
    study_score: float | None = None,
    unread: int = 0,
) -> StudyVerdict:
    """Compare the score of a study with the operating point.

    A study of which an image could not be read, or a content was set aside, is never called normal.

    Args:
        scores: image scores; None for an image that has none.
        operating_point: of the task version.
        study_score: made of the smoothed maps; None aggregates the image scores, as in versions
            that were calibrated so.
        unread: number of contents that were set aside unread.
    """
    scores = tuple(scores)
    usable = [score for score in scores if score is not None]
    if not usable:
        return StudyVerdict(Verdict.UNDETERMINED, None, None)
    if study_score is None:
        study_score = aggregate(usable)
    verdict = operating_point.verdict(study_score)
    if verdict is Verdict.NORMAL and (unread or len(usable) < len(scores)):
        verdict = Verdict.UNDETERMINED
    return StudyVerdict(verdict, study_score, operating_point.p_value(study_score))


def _smoothed_score(images: Iterable[ImageReading]) -> float | None:
    """Compute the study score from the maps of the scored frames; None where there are none."""
    scored = [image for image in images if image.score is not None]
    if not scored:
        return None
    return smoothed_peak(
        scored,
        [image.score for image in scored if image.score is not None],
        read_map=lambda index: scored[index].read_map(),
        placements=[image.placement for image in scored if image.placement is not None],
    ).score


def _stored_images(
    images: Iterable[SourceImage],
    rows: Mapping[tuple[str, int], ImageScore],
    maps: Path,
    *,
    mode: Mode,
) -> tuple[ImageReading, ...]:
    """Join headers and scores; the file of maps has a row for each frame, scored or not."""
    readings: list[ImageReading] = []
    for image in images:
        for frame in range(1, image.header.number_of_frames + 1):
            row = rows[image.header.sop_instance_uid, frame]
            scored = row.score is not None
            readings.append(
                ImageReading(
                    source=image,
                    frame_number=frame,
                    score=row.score,
                    map=StoredMap(maps, len(readings)) if scored else None,
                    placement=_placed(image, row, mode=mode) if scored else None,
                    skipped=row.skipped,
                )
            )
    return tuple(readings)


def _placed(image: SourceImage, row: ImageScore, *, mode: Mode) -> Placement:
    box = None
    if row.box is not None:
        top, left, rows, columns = row.box
        box = (top, left, rows, columns)
    return place(image.header, mode=mode, box=box)


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
    """Find the task's last report on this study before the run; a repeat finds the same."""
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
