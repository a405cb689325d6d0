"""Files that `mediclip-dicom export` writes: objects, scores, findings and maps."""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import numpy as np

from mediclip_dicom.results import Findings, Reading
from mediclip_dicom.studies import FindingRow, finding_rows

_NORMAL = ("number", "study", "image", "frame", "distance")
"""Columns of the nearest normal patch, after "normal_"; its place has two more."""


def write_export(
    readings: Iterable[tuple[Reading, Findings]], objects: Iterable[Path], out: Path
) -> None:
    """Copy the objects, and write scores, findings and maps of every reading into the folder."""
    folder = out / "objects"
    folder.mkdir(parents=True, exist_ok=True)
    for path in objects:
        shutil.copyfile(path, folder / path.name)
    for reading, findings in readings:
        name = f"{reading.task_name}-v{reading.task_version}"
        _write_scores(reading, out / f"{name}-scores.csv")
        _write_findings(findings, out / f"{name}-findings.csv")
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


def _write_findings(findings: Findings, path: Path) -> None:
    """Write a row for each reported finding; columns are those of `FindingRow`."""
    names = [f.name for f in fields(FindingRow) if f.name not in ("centre_mm", "normal")]
    centre = ["centre_x_mm", "centre_y_mm", "centre_z_mm"]
    normal = [*(f"normal_{name}" for name in _NORMAL), "normal_row", "normal_column"]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow([*names, *centre, *normal])
        for row in finding_rows(findings).reported:
            values = [getattr(row, name) for name in names]
            values += row.centre_mm or [""] * len(centre)
            if row.normal is None:
                values += [""] * len(normal)
            else:
                values += [getattr(row.normal, name) for name in _NORMAL]
                values += [index + 1 for index in row.normal.place]
            rows.writerow(map(_cell, values))


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
    source_boxes = [image.placement.source_box for image in images if image.placement is not None]
    np.savez_compressed(
        path,
        maps=np.array([image.read_map() for image in images], dtype=np.float32),
        sop_instance_uid=np.array([image.header.sop_instance_uid for image in images]),
        frame=np.array([image.frame_number for image in images], dtype=np.int32),
        box=np.array(boxes, dtype=np.int32),
        source_box=np.array(source_boxes, dtype=np.int32),
    )
