"""Files that `mediclip-dicom export` writes: objects, scores, findings and maps."""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np

from mediclip_dicom.results import Reading, find
from mediclip_dicom.studies import FindingRow, finding_rows


def write_export(readings: Iterable[Reading], objects: Iterable[Path], out: Path) -> None:
    """Copy the objects, and write scores, findings and maps of every reading into the folder."""
    folder = out / "objects"
    folder.mkdir(parents=True, exist_ok=True)
    for path in objects:
        shutil.copyfile(path, folder / path.name)
    for reading in readings:
        name = f"{reading.task_name}-v{reading.task_version}"
        _write_scores(reading, out / f"{name}-scores.csv")
        _write_findings(reading, out / f"{name}-findings.csv")
        _write_maps(reading, out / f"{name}-maps.npz")


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


def _write_findings(reading: Reading, path: Path) -> None:
    """Write a row for each reported finding; columns are those of `FindingRow`."""
    names = [field.name for field in fields(FindingRow) if field.name != "centre_mm"]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*names, "centre_x_mm", "centre_y_mm", "centre_z_mm"])
        for row in finding_rows(find(reading)).reported:
            values = (getattr(row, name) for name in names)
            rows.writerow(map(_cell, (*values, *(row.centre_mm or ("", "", "")))))


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value


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
