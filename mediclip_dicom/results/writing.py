"""All objects of a reading onto disk, or none."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog
from pydicom.dataset import Dataset

from mediclip_dicom.errors import ResultWriteError
from mediclip_dicom.results.identity import plain_device
from mediclip_dicom.results.reading import Device, Reading
from mediclip_dicom.results.report import build_report
from mediclip_dicom.results.segmentation import build_segmentations

_log = structlog.get_logger()

Kind = Literal["SEG", "SR"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One object on disk, ready to be sent.

    Attributes:
        path: a Part 10 file named after the SOP Instance UID.
        sha256: hex digest of the file.
    """

    kind: Kind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: Path
    sha256: str


def write_results(reading: Reading, *, device: Device, directory: Path) -> tuple[ResultObject, ...]:
    """Write the Segmentations, if anything is marked, and the Structured Report, always.

    The same reading gives the same files, byte for byte, so a repeat replaces them by themselves.

    Args:
        directory: made where it is missing; nothing else in it is touched.

    Raises:
        ResultWriteError: an object could not be made or written; none is left behind.
    """
    device = plain_device(device)
    try:
        segmentations = build_segmentations(reading, device=device)
        report = build_report(reading, segmentations, device=device)
        objects: list[tuple[Kind, Dataset]] = [
            ("SEG", result.dataset) for result in segmentations.results
        ]
        objects.append(("SR", report))
        directory.mkdir(parents=True, exist_ok=True)
        written = _write_all(objects, directory)
    except ResultWriteError:
        raise
    except Exception as error:
        # highdicom and pydicom raise many kinds, and their words may quote attribute values.
        raise ResultWriteError(
            f"the results of study {reading.study_instance_uid} by task version "
            f"{reading.task_version_uid} could not be written ({type(error).__name__}); "
            "check that the sources are still there and that the disk has room"
        ) from error
    _log.info(
        "results_written",
        study_uid=reading.study_instance_uid,
        task_version_uid=reading.task_version_uid,
        objects=len(written),
    )
    return written


def _write_all(
    objects: Iterable[tuple[Kind, Dataset]], directory: Path
) -> tuple[ResultObject, ...]:
    """Write into a hidden folder first; rename only when every object is safe on disk."""
    placed: list[Path] = []
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as staging:
        written = [_write(kind, dataset, Path(staging), directory) for kind, dataset in objects]
        try:
            for result in written:
                (Path(staging) / result.path.name).replace(result.path)
                placed.append(result.path)
        except OSError:
            for path in placed:
                path.unlink(missing_ok=True)
            raise
    _sync_folder(directory)
    return tuple(written)


def _write(kind: Kind, dataset: Dataset, staging: Path, directory: Path) -> ResultObject:
    name = f"{dataset.SOPInstanceUID}.dcm"
    with (staging / name).open("wb+") as file:
        dataset.save_as(file, enforce_file_format=True)
        file.flush()
        os.fsync(file.fileno())
    with (staging / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ResultObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=directory / name,
        sha256=digest,
    )


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
