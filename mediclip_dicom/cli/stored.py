"""What the node said of a study, as files: behind `render` and `export`."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import select

from mediclip_dicom.cli.display import console, plain
from mediclip_dicom.database import Run, Study, StudyRevision, open_database
from mediclip_dicom.errors import StudyNotFoundError
from mediclip_dicom.results import (
    ImageReading,
    Reading,
    decoded,
    fused,
    patient_orientation,
    read_source,
)
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.scoring import Scoring
from mediclip_dicom.tasks import DetectorStore, open_backbone


@dataclass(frozen=True, slots=True)
class _Stored:
    """The newest answer to a study: a reading for each task, and the objects that were written."""

    readings: tuple[Reading, ...]
    objects: tuple[Path, ...]


def render_study(settings: Settings, study_uid: str, *, task: str | None, out: Path) -> None:
    """Draw the image of the highest score with its map.

    Raises:
        StudyNotFoundError: The node has not read the study, or could score no image of it.
    """
    reading = _stored(settings, study_uid, task=task).readings[0]
    image = _leading(reading)
    ((_, rgb),) = decoded([image], reading)
    orientation = patient_orientation(image, read_source(image.path))
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(fused(reading, image, rgb, orientation=orientation)).save(out)
    console.print(f"{plain(out)}: {reading.verdict}. Not for diagnostic use.", highlight=False)


def export_study(settings: Settings, study_uid: str, *, task: str | None, out: Path) -> None:
    """Copy the objects, and write scores and maps of every task beside them.

    Raises:
        StudyNotFoundError: The node has not read the study.
    """
    stored = _stored(settings, study_uid, task=task)
    objects = out / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    for path in stored.objects:
        shutil.copyfile(path, objects / path.name)
    for reading in stored.readings:
        name = f"{reading.task_name}-v{reading.task_version}"
        _write_scores(reading, out / f"{name}-scores.csv")
        _write_maps(reading, out / f"{name}-maps.npz")
    console.print(
        f"{len(stored.objects)} objects, {len(stored.readings)} readings in {plain(out)}",
        highlight=False,
    )


def _stored(settings: Settings, study_uid: str, *, task: str | None) -> _Stored:
    sessions = open_database(settings.database_url)
    with sessions() as session:
        run = session.scalar(
            select(Run)
            .join(StudyRevision)
            .join(Study)
            .where(Study.study_instance_uid == study_uid, Run.verdicts.any())
            .order_by(StudyRevision.number.desc(), Run.created_at.desc())
            .limit(1)
        )
        if run is None:
            raise StudyNotFoundError(
                f"the node has read no study {study_uid}; see mediclip-dicom study list"
            )
        versions = [
            verdict.task_version_id
            for verdict in run.verdicts
            if task in (None, verdict.task_version.task.name)
        ]
        if not versions:
            raise StudyNotFoundError(f"the task {task} has not read study {study_uid}")
        objects = tuple(
            settings.storage.results / result.path
            for result in run.results
            if result.task_version_id in versions
        )
        run_id = run.id
    scoring = Scoring(settings, sessions, DetectorStore(sessions, open_backbone(settings.backbone)))
    return _Stored(tuple(scoring.reading(run_id, version) for version in versions), objects)


def _leading(reading: Reading) -> ImageReading:
    scored = [image for image in reading.images if image.score is not None]
    if not scored:
        raise StudyNotFoundError("no image of the study could be scored; see study show")
    return max(scored, key=lambda image: image.score or 0.0)


def _write_scores(reading: Reading, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["series_instance_uid", "sop_instance_uid", "frame", "score", "skipped"])
        for image in reading.images:
            header = image.header
            score = "" if image.score is None else f"{image.score:.9g}"
            rows.writerow(
                [
                    header.series_instance_uid,
                    header.sop_instance_uid,
                    image.frame_number,
                    score,
                    image.skipped or "",
                ]
            )


def _write_maps(reading: Reading, path: Path) -> None:
    images = [image for image in reading.images if image.map is not None]
    boxes = [
        (p.top, p.left, p.top + p.height, p.left + p.width)
        for image in images
        if (p := image.placement) is not None
    ]
    np.savez_compressed(
        path,
        maps=np.array([image.read_map() for image in images], dtype=np.float32),
        sop_instance_uid=np.array([image.header.sop_instance_uid for image in images]),
        frame=np.array([image.frame_number for image in images], dtype=np.int32),
        box=np.array(boxes, dtype=np.int32),
    )
