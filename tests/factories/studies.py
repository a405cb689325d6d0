"""Small made-up MR studies whose pixels differ, as those of different patients do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread

from tests.factories import sources

# What must never be seen outside a DICOM object.
PATIENT_NAME = "Zanzibar^Quillon"
PATIENT_ID = "PID-70417"
BIRTH_DATE = "19070411"
ROWS, COLUMNS = 48, 64


def study_uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.7.{number}"


def mr_study(
    folder: Path, number: int, *, slices: int = 3, lesion: bool = False, **attributes: object
) -> list[Path]:
    """One study of one series: a bright oval body over noise; a lesion is a bright square in it."""
    folder.mkdir(parents=True, exist_ok=True)
    named: dict[str, Any] = {
        "StudyInstanceUID": study_uid(number),
        "PatientName": PATIENT_NAME,
        "PatientID": PATIENT_ID,
        "PatientBirthDate": BIRTH_DATE,
        "SeriesDescription": "T1 axial",
    }
    paths = sources.mr_series(
        folder,
        slices=slices,
        rows=ROWS,
        columns=COLUMNS,
        series=1000 + number,
        **(named | attributes),
    )
    for index, path in enumerate(paths):
        dataset = dcmread(path)
        dataset.PixelData = _body(seed=[number, index], lesion=lesion).tobytes()
        dataset.save_as(path, enforce_file_format=True)
    return paths


def _body(*, seed: list[int], lesion: bool) -> npt.NDArray[np.uint16]:
    generator = np.random.default_rng(seed)
    row, column = np.mgrid[0:ROWS, 0:COLUMNS]
    distance = ((row - ROWS / 2) / (ROWS * 0.42)) ** 2 + ((column - COLUMNS / 2) / 26) ** 2
    pixels = np.where(distance < 1, 450 + 60 * np.cos(row / 5), 20) + generator.normal(
        0, 12, (ROWS, COLUMNS)
    )
    if lesion:
        pixels[16:28, 28:42] = 990
    return np.clip(pixels, 0, 4095).astype("<u2")
