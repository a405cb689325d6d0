"""Radiology department: fictitious brain MR studies as DICOM series, with known lesions."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mediclip_dicom.cli.demo.anatomy import (
    Patient,
    Template,
    add_noise,
    draw_lesion,
    draw_patient,
    load_template,
)
from mediclip_dicom.cli.demo.mr_image import SeriesIdentity, mr_image
from mediclip_dicom.cli.demo.studies import DemoStudy, Department, Label, derived_uid

Progress = Callable[[int, int], None]

_ROWS, _COLUMNS = 256, 224
_PIXEL_SPACING_MM = 0.8
_SLICE_SPACING_MM = 6.0
_SLICE_THICKNESS_MM = 2.0
_STACK_CENTRE_MM = (0.0, 18.0, 32.0)


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes of one axial acquisition, slightly tilted about the left-right axis.

    Attributes:
        row_direction: unit vector along a row, LPS.
        column_direction: unit vector down a column, LPS.
        positions_mm: (slices, 3) centre of the first pixel of each slice.
    """

    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    positions_mm: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from slice to slice."""
        return np.cross(self.row_direction, self.column_direction)

    def points(self, index: int) -> NDArray[np.float64]:
        """Return the (rows, columns, 3) pixel centres of one slice (PS3.3 C.7.6.2.1.1)."""
        rows = np.arange(_ROWS)[:, None, None] * _PIXEL_SPACING_MM
        columns = np.arange(_COLUMNS)[None, :, None] * _PIXEL_SPACING_MM
        points: NDArray[np.float64] = (
            self.positions_mm[index] + columns * self.row_direction + rows * self.column_direction
        )
        return points


def make_department(
    directory: Path,
    *,
    seed: int,
    normal: int = 12,
    abnormal: int = 4,
    slices: int = 10,
    progress: Progress | None = None,
) -> Department:
    """Make normal studies, then studies with one lesion each.

    Writes DICOM files to `directory/dicom` and the lesions' masks, one npz file per image that
    shows one, to `directory/truth`. The same seed gives the same bytes, whatever the other counts.

    Args:
        directory: where to write; made if missing.
        seed: seed of every draw and of every UID.
        normal: number of normal studies.
        abnormal: number of studies with a lesion.
        slices: axial images per study, 6 mm apart.
        progress: called with (studies made, studies in all) after each.

    Raises:
        DemoExtraMissingError: nilearn is not installed.
    """
    template = load_template()
    wanted: list[tuple[Label, int]] = [("normal", n + 1) for n in range(normal)]
    wanted += [("abnormal", n + 1) for n in range(abnormal)]
    studies = []
    for label, number in wanted:
        studies.append(
            _make_study(directory, template, seed=seed, label=label, number=number, slices=slices)
        )
        if progress is not None:
            progress(len(studies), len(wanted))
    return Department(task="brain-mr", modality="MR", studies=tuple(studies))


def _make_study(
    directory: Path, template: Template, *, seed: int, label: Label, number: int, slices: int
) -> DemoStudy:
    code = f"{label[0].upper()}{number:02d}"
    generator = np.random.default_rng([seed, number, int(label == "abnormal")])
    patient = draw_patient(template, generator)
    stack = _draw_stack(generator, slices)
    if label == "abnormal":
        candidates = _lesion_candidates(patient, stack)
        lesion = draw_lesion(patient, generator, candidates=candidates)
        patient = replace(patient, lesion=lesion)
    gain = float(generator.uniform(850.0, 1100.0))
    identity = SeriesIdentity.draw(generator, seed=seed, code=code)

    files = directory / "dicom" / code
    files.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    truth: dict[str, Path | None] = {}
    for index in range(slices):
        points = stack.points(index)
        pixels = _acquire(patient, stack, points, generator, gain=gain)
        dataset = mr_image(
            pixels,
            identity,
            index=index,
            position_mm=stack.positions_mm[index],
            directions=(stack.row_direction, stack.column_direction),
            slice_location_mm=float(stack.positions_mm[index] @ stack.normal),
            pixel_spacing_mm=_PIXEL_SPACING_MM,
            slice_thickness_mm=_SLICE_THICKNESS_MM,
            slice_spacing_mm=_SLICE_SPACING_MM,
            window=(0.55 * gain, 1.1 * gain),
        )
        path = files / f"{index + 1:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
        truth[dataset.SOPInstanceUID] = _write_mask(
            directory / "truth" / code / f"{index + 1:03d}.npz", patient.lesion_mask(points)
        )
    return DemoStudy(
        name=f"{label} {number:02d}",
        study_instance_uid=derived_uid(seed, code, "study"),
        label=label,
        paths=tuple(paths),
        truth=truth,
    )


def _draw_stack(generator: np.random.Generator, slices: int) -> Stack:
    tilt = np.deg2rad(generator.uniform(-4.0, 4.0))
    row = np.array([1.0, 0.0, 0.0])
    column = np.array([0.0, np.cos(tilt), np.sin(tilt)])
    normal = np.cross(row, column)
    centre = np.array(_STACK_CENTRE_MM) + normal * generator.uniform(-3.5, 3.5)
    corner = centre - _PIXEL_SPACING_MM * (row * (_COLUMNS - 1) + column * (_ROWS - 1)) / 2
    steps = (np.arange(slices) - (slices - 1) / 2) * _SLICE_SPACING_MM
    return Stack(row, column, corner + steps[:, None] * normal)


def _lesion_candidates(patient: Patient, stack: Stack) -> NDArray[np.float64]:
    """Return the points in tissue between the second and the last slice but one."""
    last = len(stack.positions_mm) - 1
    inner = range(min(1, last), max(last, 1))
    points = np.concatenate([stack.points(i)[::6, ::6].reshape(-1, 3) for i in inner])
    inside: NDArray[np.float64] = points[patient.tissue(points) > 0.85]
    return inside


def _acquire(
    patient: Patient,
    stack: Stack,
    points: NDArray[np.float64],
    generator: np.random.Generator,
    *,
    gain: float,
) -> NDArray[np.uint16]:
    """Return 12-bit pixels of one slice: the mean over its thickness, with noise."""
    half = stack.normal * _SLICE_THICKNESS_MM / 4
    signal = (patient.signal(points - half) + patient.signal(points + half)) / np.float32(2)
    noisy = add_noise(signal, generator, deviation=0.015) * gain
    pixels: NDArray[np.uint16] = np.clip(np.rint(noisy), 0, 4095).astype(np.uint16)
    return pixels


def _write_mask(path: Path, mask: NDArray[np.bool_]) -> Path | None:
    if not mask.any():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, mask=mask)
    return path
