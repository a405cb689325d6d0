"""Writing of a reading's objects to disk: all of them or none."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydicom.dataset import Dataset

from mediclip_dicom.errors import NodeError, ResultWriteError
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.findings import Findings, find
from mediclip_dicom.results.flagged import choose_flagged, save_key_objects, save_pictures
from mediclip_dicom.results.identity import ascii_device
from mediclip_dicom.results.maps import save_maps
from mediclip_dicom.results.multiframe import Save
from mediclip_dicom.results.reading import Reading
from mediclip_dicom.results.report import build_report
from mediclip_dicom.results.segmentation import save_segmentations
from mediclip_dicom.results.streaming import FrameSource, write_streamed
from mediclip_dicom.settings import ALWAYS, ResultKind

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """Result object on disk, ready to be sent.

    Attributes:
        path: a Part 10 file named after the SOP Instance UID.
        sha256: hex digest of the file.
    """

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: Path
    sha256: str


def write_results(
    reading: Reading,
    *,
    device: Device,
    directory: Path,
    kinds: Collection[ResultKind] = ALWAYS,
    findings: Findings | None = None,
) -> tuple[ResultObject, ...]:
    """Write the objects of a reading: all of them or none.

    The Structured Report is always written, and the Segmentations where anything is marked; the
    rest where it is asked for. The same reading gives the same files, byte for byte, so a repeat
    changes nothing.

    Args:
        reading: the reading to be written.
        device: this node.
        directory: made where it is missing; nothing else in it is touched.
        kinds: further kinds of object, besides report and Segmentation.
        findings: those of the reading, where they are known already.

    Raises:
        ResultWriteError: an object could not be made or written; none is left behind.
    """
    device = ascii_device(device)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as folder:
            staging = _Staging(Path(folder))
            _make_objects(
                reading, findings or find(reading), device=device, kinds=kinds, save=staging.save
            )
            written = staging.place(directory)
        _sync_folder(directory)
    except ResultWriteError:
        raise
    except Exception as error:
        raise ResultWriteError(
            f"the results of study {reading.study_instance_uid} by task version "
            f"{reading.task_version_uid} could not be written: {_cause(error)}"
        ) from error
    log.info(
        "results.written",
        study_uid=reading.study_instance_uid,
        task_version_uid=reading.task_version_uid,
        objects=len(written),
    )
    return written


def _cause(error: Exception) -> str:
    """Describe an error by its kind and place: others' words may quote attribute values."""
    if isinstance(error, OSError) and error.errno is not None:
        return (
            f"{os.strerror(error.errno)}; check that the sources are still there and that the "
            "disk of the results has room"
        )
    if isinstance(error, NodeError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}, a fault of "
        "the program or of a source's header; report it with these words"
    )


def _make_objects(
    reading: Reading,
    findings: Findings,
    *,
    device: Device,
    kinds: Collection[ResultKind],
    save: Save,
) -> None:
    """Make every object; the report last, since it references the others."""
    segmentations = save_segmentations(reading, findings, device=device, save=save)
    problems: list[str] = []
    for kind in ("FRACTIONAL", "PM"):
        if kind in kinds:
            problems += save_maps(reading, kind=kind, device=device, save=save)
    flagged = choose_flagged(findings)
    if {"SC", "KO"} & set(kinds) and len(flagged) < len(findings.marked):
        problems.append(
            f"Pictures and key objects: {len(flagged)} of {len(findings.marked)} marked images, "
            "the key images of the findings and those of the highest scores."
        )
    if "SC" in kinds:
        save_pictures(reading, findings, flagged, device=device, save=save)
    if "KO" in kinds:
        save_key_objects(reading, flagged, device=device, save=save)
    save("SR", build_report(reading, findings, segmentations, device=device, problems=problems))


class _Staging:
    """Hidden folder; files are renamed out of it only when every object is safe on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staged: list[ResultObject] = []

    def save(self, kind: ResultKind, dataset: Dataset, frames: FrameSource | None = None) -> None:
        """Write an object into the folder; its pixels are no longer held."""
        path = self._folder / f"{dataset.SOPInstanceUID}.dcm"
        with path.open("wb+") as file:
            if frames is None:
                dataset.save_as(file, enforce_file_format=True)
            else:
                write_streamed(file, dataset, frames)
            file.flush()
            os.fsync(file.fileno())
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._staged.append(
            ResultObject(
                kind=kind,
                sop_class_uid=str(dataset.SOPClassUID),
                sop_instance_uid=str(dataset.SOPInstanceUID),
                series_instance_uid=str(dataset.SeriesInstanceUID),
                path=path,
                sha256=digest,
            )
        )

    def place(self, directory: Path) -> tuple[ResultObject, ...]:
        """Rename every file into the directory; where one fails, none stays."""
        placed: list[ResultObject] = []
        try:
            for staged in self._staged:
                path = staged.path.replace(directory / staged.path.name)
                placed.append(dataclasses.replace(staged, path=path))
        except OSError:
            for result in placed:
                result.path.unlink(missing_ok=True)
            raise
        return tuple(placed)


def _sync_folder(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
