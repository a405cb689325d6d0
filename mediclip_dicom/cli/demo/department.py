"""Radiology department: fictitious brain MR and thorax CT studies, with known lesions."""

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
from mediclip_dicom.cli.demo.series_image import SeriesIdentity, SlicePlane, slice_image
from mediclip_dicom.cli.demo.studies import DemoStudy, Department, Label, derived_uid
from mediclip_dicom.cli.demo.thorax import draw_thorax, draw_tumour

Progress = Callable[[int, int], None]

_STACK_CENTRE_MM = (0.0, 18.0, 32.0)
_CT_WINDOW = (-350.0, 1300.0)

_OF_THORAX = 1
"""Set apart from the brains: no brain is drawn from the same numbers."""

Pixels = NDArray[np.uint16] | NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Stack:
    """Planes of one axial acquisition, slightly tilted about the left-right axis.

    Attributes:
        rows: pixels down a column.
        columns: pixels along a row.
        pixel_mm: distance of neighbouring pixels.
        spacing_mm: distance of neighbouring slices.
        thickness_mm: thickness of a slice.
        row_direction: unit vector along a row, LPS.
        column_direction: unit vector down a column, LPS.
        positions_mm: (slices, 3) centre of the first pixel of each slice.
    """

    rows: int
    columns: int
    pixel_mm: float
    spacing_mm: float
    thickness_mm: float
    row_direction: NDArray[np.float64]
    column_direction: NDArray[np.float64]
    positions_mm: NDArray[np.float64]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector from slice to slice."""
        return np.cross(self.row_direction, self.column_direction)

    def points(self, index: int) -> NDArray[np.float64]:
        """Return the (rows, columns, 3) pixel centres of one slice (PS3.3 C.7.6.2.1.1)."""
        rows = np.arange(self.rows)[:, None, None] * self.pixel_mm
        columns = np.arange(self.columns)[None, :, None] * self.pixel_mm
        points: NDArray[np.float64] = (
            self.positions_mm[index] + columns * self.row_direction + rows * self.column_direction
        )
        return points

    def plane(self, index: int) -> SlicePlane:
        """Return the place of one slice as its image states it."""
        return SlicePlane(
            index=index,
            position_mm=self.positions_mm[index],
            directions=(self.row_direction, self.column_direction),
            location_mm=float(self.positions_mm[index] @ self.normal),
            pixel_spacing_mm=self.pixel_mm,
            thickness_mm=self.thickness_mm,
            spacing_mm=self.spacing_mm,
        )


def make_department(
    directory: Path,
    *,
    seed: int,
    normal: int = 12,
    abnormal: int = 4,
    slices: int = 10,
    progress: Progress | None = None,
) -> Department:
    """Make normal brain MR studies, then studies with one lesion each, dark and bright by turns.

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


def make_thorax_department(
    directory: Path,
    *,
    seed: int,
    normal: int,
    abnormal: int = 1,
    slices: int = 14,
    progress: Progress | None = None,
) -> Department:
    """Make normal thorax CT studies, then studies with a tumour each that spans several slices.

    Files, bytes and arguments as those of `make_department`; the slices are 8 mm apart.
    """
    wanted: list[tuple[Label, int]] = [("normal", n + 1) for n in range(normal)]
    wanted += [("abnormal", n + 1) for n in range(abnormal)]
    studies = []
    for label, number in wanted:
        studies.append(
            _make_thorax(directory, seed=seed, label=label, number=number, slices=slices)
        )
        if progress is not None:
            progress(len(studies), len(wanted))
    return Department(task="thorax-ct", modality="CT", studies=tuple(studies))


def _make_study(
    directory: Path, template: Template, *, seed: int, label: Label, number: int, slices: int
) -> DemoStudy:
    code = f"{label[0].upper()}{number:02d}"
    generator = np.random.default_rng([seed, number, int(label == "abnormal")])
    patient = draw_patient(template, generator)
    stack = _draw_stack(generator, slices)
    kind = ""
    if label == "abnormal":
        bright = number % 2 == 0
        kind = ", bright" if bright else ", dark"
        candidates = _lesion_candidates(patient, stack)
        lesion = draw_lesion(patient, generator, candidates=candidates, bright=bright)
        patient = replace(patient, lesion=lesion)
    gain = float(generator.uniform(850.0, 1100.0))
    identity = SeriesIdentity.draw(generator, seed=seed, code=code)

    def acquire(points: NDArray[np.float64]) -> Pixels:
        return _acquire(patient, stack, points, generator, gain=gain)

    return _write_study(
        directory,
        identity,
        stack,
        name=f"{label} {number:02d}{kind}",
        label=label,
        acquire=acquire,
        lesion_mask=patient.lesion_mask,
        window=(0.55 * gain, 1.1 * gain),
    )


def _make_thorax(
    directory: Path, *, seed: int, label: Label, number: int, slices: int
) -> DemoStudy:
    code = f"CT-{label[0].upper()}{number:02d}"
    generator = np.random.default_rng([seed, number, int(label == "abnormal"), _OF_THORAX])
    thorax = draw_thorax(generator)
    if label == "abnormal":
        thorax = replace(thorax, tumour=draw_tumour(thorax, generator))
    stack = _thorax_stack(slices)
    identity = SeriesIdentity.draw(generator, seed=seed, code=code, modality="CT")

    def acquire(points: NDArray[np.float64]) -> Pixels:
        noisy = thorax.hounsfield(points) + generator.normal(scale=18.0, size=points.shape[:2])
        return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)

    def lesion_mask(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        tumour = thorax.tumour
        return np.zeros(points.shape[:-1], np.bool_) if tumour is None else tumour.inside(points)

    return _write_study(
        directory,
        identity,
        stack,
        name=f"CT {label} {number:02d}",
        label=label,
        acquire=acquire,
        lesion_mask=lesion_mask,
        window=_CT_WINDOW,
    )


def _write_study(
    directory: Path,
    identity: SeriesIdentity,
    stack: Stack,
    *,
    name: str,
    label: Label,
    acquire: Callable[[NDArray[np.float64]], Pixels],
    lesion_mask: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
    window: tuple[float, float],
) -> DemoStudy:
    files = directory / "dicom" / identity.code
    files.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    truth: dict[str, Path | None] = {}
    for index in range(len(stack.positions_mm)):
        points = stack.points(index)
        dataset = slice_image(acquire(points), identity, plane=stack.plane(index), window=window)
        path = files / f"{index + 1:03d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
        truth[dataset.SOPInstanceUID] = _write_mask(
            directory / "truth" / identity.code / f"{index + 1:03d}.npz", lesion_mask(points)
        )
    return DemoStudy(
        name=name,
        study_instance_uid=derived_uid(identity.seed, identity.code, "study"),
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
    return _stack(
        row,
        column,
        centre,
        shape=(256, 224),
        pixel_mm=0.8,
        spacing_mm=6.0,
        thickness_mm=2.0,
        slices=slices,
    )


def _thorax_stack(slices: int) -> Stack:
    row, column = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    return _stack(
        row,
        column,
        np.zeros(3),
        shape=(256, 256),
        pixel_mm=1.4,
        spacing_mm=8.0,
        thickness_mm=8.0,
        slices=slices,
    )


def _stack(
    row: NDArray[np.float64],
    column: NDArray[np.float64],
    centre: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    pixel_mm: float,
    spacing_mm: float,
    thickness_mm: float,
    slices: int,
) -> Stack:
    rows, columns = shape
    corner = centre - pixel_mm * (row * (columns - 1) + column * (rows - 1)) / 2
    steps = (np.arange(slices) - (slices - 1) / 2) * spacing_mm
    return Stack(
        rows=rows,
        columns=columns,
        pixel_mm=pixel_mm,
        spacing_mm=spacing_mm,
        thickness_mm=thickness_mm,
        row_direction=row,
        column_direction=column,
        positions_mm=corner + steps[:, None] * np.cross(row, column),
    )


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
    half = stack.normal * stack.thickness_mm / 4
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
