"""`mediclip-dicom analyze`: the objects of one study, without a PACS."""

import dataclasses
import hashlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from mediclip_dicom.cli.display import (
    console,
    count_progress,
    escape_markup,
    make_table,
    progress_bars,
    score_text,
    verdict_text,
)
from mediclip_dicom.database import open_database
from mediclip_dicom.errors import AnalysisError
from mediclip_dicom.imaging import SourceImage
from mediclip_dicom.results import ResultObject, find, node_device, write_results
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import RevisionInfo, compare_findings, make_reading, score_images
from mediclip_dicom.tasks import (
    DetectorStore,
    active_version,
    explain_files,
    open_backbone,
    read_images,
)


def analyze_files(settings: Settings, paths: list[Path], *, task_name: str, out: Path) -> None:
    """Score the images of one study with a task, write its objects, and print the verdict.

    Raises:
        AnalysisError: the files hold no image, or images of several studies.
        TaskError: there is no such task.
    """
    sessions = open_database(settings.database_url)
    with sessions() as session:
        version = active_version(session, task_name)
    images = _read_one_study(paths)
    detectors = DetectorStore(sessions, open_backbone(settings.backbone))
    with tempfile.TemporaryDirectory() as folder, progress_bars() as progress:
        scored = score_images(
            images,
            detector=detectors.get(version.id),
            version=version,
            maps_path=Path(folder) / "maps.npy",
            batch_limit=settings.analysis.batch_size,
            progress=count_progress(progress, "scoring images"),
        )
        reading = make_reading(
            scored,
            version=version,
            revision=RevisionInfo(
                number=1, content_digest=_digest(images), analysed_at=datetime.now(UTC)
            ),
        )
        found = find(reading)
        compared = compare_findings(
            sessions,
            reading,
            found,
            version=version,
            detector=detectors.get(version.id),
            backbone=detectors.backbone,
        )
        objects = write_results(
            reading,
            findings=dataclasses.replace(found, compared=compared),
            device=node_device(settings),
            directory=out,
            kinds=settings.result_kinds,
        )
    console.print(
        f"{verdict_text(reading.verdict)}: score {score_text(reading.score) or 'none'}, operating "
        f"point {score_text(reading.operating_point) or 'none (uncalibrated)'}, "
        f"{sum(image.score is not None for image in scored)} images scored"
    )
    for reason in sorted({image.skipped for image in scored if image.skipped}):
        console.print(f"[yellow]not scored:[/] {escape_markup(reason)}", highlight=False)
    _print_objects(objects)


def _read_one_study(paths: list[Path]) -> tuple[SourceImage, ...]:
    images = read_images(paths)
    studies = {image.header.study_instance_uid for image in images}
    if not images:
        raise AnalysisError(_no_image(paths))
    if len(studies) > 1:
        raise AnalysisError(f"the paths hold {len(studies)} studies; give one at a time")
    once = {image.header.sop_instance_uid: image for image in reversed(images)}
    return tuple(image for image in images if once[image.header.sop_instance_uid] is image)


def _no_image(paths: list[Path]) -> str:
    reasons = dict.fromkeys(skipped.reason for skipped in explain_files(paths))
    return "; ".join(("the paths hold no DICOM image", *list(reasons)[:5]))


def _digest(images: tuple[SourceImage, ...]) -> str:
    """Hash the files; the spool's own content digest is of data sets as received."""
    digests = sorted(hashlib.sha256(image.path.read_bytes()).hexdigest() for image in images)
    return hashlib.sha256("|".join(digests).encode()).hexdigest()


def _print_objects(objects: tuple[ResultObject, ...]) -> None:
    table = make_table(None, "object", "file")
    for written in objects:
        table.add_row(written.kind, escape_markup(written.path))
    console.print(table)
