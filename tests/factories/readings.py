"""Readings made by hand, so that what must be in the objects is known to the pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from ai_core.images import Mode
from mediclip_dicom.imaging import (
    Placement,
    Preparation,
    SourceImage,
    iter_input_frames,
    place,
    read_header,
    read_headers,
)
from mediclip_dicom.results import ImageReading, Reading
from mediclip_dicom.settings import ResultKind
from tests.factories import modalities, sources

FINISHED = datetime(2026, 1, 2, 3, 4, 5, 678)


def painted_map(value: float = 0.95) -> np.ndarray:
    """A block right of and above the centre, its core in the highest band; a small second block."""
    anomaly_map = np.full((224, 224), 0.1, dtype=np.float32)
    anomaly_map[70:110, 120:170] = 0.6
    anomaly_map[80:100, 130:160] = value
    anomaly_map[140:150, 60:75] = 0.6
    return anomaly_map


def image_readings(path: Path, *, marked_frames: Sequence[int] | None = None) -> list[ImageReading]:
    header = read_header(path)
    placement = Placement(
        rows=header.rows, columns=header.columns, pixel_aspect=header.pixel_aspect
    )
    readings = []
    for number in range(1, header.number_of_frames + 1):
        marked = marked_frames is None or number in marked_frames
        anomaly_map = painted_map() if marked else np.full((224, 224), 0.1, dtype=np.float32)
        readings.append(
            ImageReading(
                source=SourceImage(path, header),
                frame_number=number,
                score=float(anomaly_map.max()),
                map=anomaly_map,
                placement=placement,
                skipped=None,
            )
        )
    return readings


def without_marks(reading: ImageReading) -> ImageReading:
    return dataclasses.replace(reading, map=np.full((224, 224), 0.1, dtype=np.float32), score=0.1)


def make_reading(images: Sequence[ImageReading], **changes: object) -> Reading:
    reading = Reading(
        task_name="brain-mr",
        task_version=3,
        task_version_uid="2.25.271828",
        verdict="abnormal",
        score=0.95,
        p_value=1 / 9,
        operating_point=0.5,
        false_positive_rate=0.05,
        k=8,
        preset="paper",
        backbone="ViT-L-14/openai",
        backbone_trained=True,
        backbone_sha256="ab" * 32,
        weights_sha256="cd" * 32,
        software_version="0.1.0",
        study_content_digest="ef" * 32,
        revision=1,
        images=tuple(images),
        finished_at=FINISHED,
    )
    return dataclasses.replace(reading, **changes)  # type: ignore[arg-type]


def echoed(paths: list[Path], mode: Mode) -> list[ImageReading]:
    """As if a detector found anomalous what is bright: its input is its map."""
    images, skipped = read_headers(paths)
    assert not skipped
    readings = []
    for frame in iter_input_frames(images, preparation=Preparation(mode)):
        assert frame.pixels is not None
        readings.append(
            ImageReading(
                source=frame.image,
                frame_number=frame.frame,
                score=float(frame.pixels.max()),
                map=frame.pixels[0, 0],
                placement=place(frame.image.header, mode=mode),
                skipped=None,
            )
        )
    return readings


ALL: tuple[ResultKind, ...] = ("SR", "SEG", "FRACTIONAL", "PM", "SC", "KO")

Make = Callable[[Path], list[Path]]

KINDS: dict[str, Make] = {
    "MR": lambda f: sources.mr_series(f, orientation=sources.OBLIQUE),
    "CT": lambda f: modalities.ct_series(f, tilt=15.0),
    "enhanced MR": lambda f: [sources.enhanced_mr(f)],
    "CR": lambda f: [sources.computed_radiograph(f)],
    "DX": lambda f: [modalities.digital_radiograph(f)],
    "MG": lambda f: [modalities.mammogram(f)],
    "US": lambda f: [sources.ultrasound(f)],
    "multi-frame US": lambda f: [sources.ultrasound(f, frames=3)],
    "XA": lambda f: [modalities.angiogram(f)],
    "SC": lambda f: [modalities.secondary_capture(f)],
}
