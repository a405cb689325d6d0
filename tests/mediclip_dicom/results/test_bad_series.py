"""Series that are no proper stack: what can be said of them is said, and nothing else breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import pytest
from pydicom import Dataset, dcmread

from mediclip_dicom.results import Device, Findings, ImageReading, find, write_results
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading

Change = Callable[[Dataset, int], None]

SAGITTAL = [0, 1, 0, 0, 0, -1]


def one_slice(dataset: Dataset, number: int) -> None:
    """Nothing is wrong with it but that it is alone."""


def equal_positions(dataset: Dataset, number: int) -> None:
    dataset.ImagePositionPatient = [0, 0, 0]


def missing_spacing(dataset: Dataset, number: int) -> None:
    del dataset.PixelSpacing


def missing_spacing_and_thickness(dataset: Dataset, number: int) -> None:
    del dataset.PixelSpacing, dataset.SliceThickness


def mixed_orientation(dataset: Dataset, number: int) -> None:
    if number % 2:
        dataset.ImageOrientationPatient = SAGITTAL


def scout_inside(dataset: Dataset, number: int) -> None:
    if number == 2:
        dataset.ImageOrientationPatient = SAGITTAL
        dataset.ImagePositionPatient = [0, -100, 200]
        dataset.PixelSpacing = [3, 3]


def missing_position(dataset: Dataset, number: int) -> None:
    if number == 2:
        del dataset.ImagePositionPatient


def series(folder: Path, change: Change, *, slices: int) -> list[ImageReading]:
    paths = sources.mr_series(folder, slices=slices)
    for number, path in enumerate(paths):
        dataset = dcmread(path)
        change(dataset, number)
        dataset.save_as(path)
    return [image for path in paths for image in image_readings(path)]


def kinds_of(findings: Findings) -> Sequence[bool]:
    return [finding.volumetric for finding in findings.reported]


@pytest.mark.parametrize(
    ("change", "slices", "segmentations", "volumetric", "planar"),
    [
        (one_slice, 1, 1, 0, 1),
        (equal_positions, 3, 3, 0, 3),
        (missing_spacing, 3, 3, 0, 3),
        (missing_spacing_and_thickness, 3, 3, 0, 3),
        (mixed_orientation, 4, 3, 2, 2),
        (scout_inside, 5, 2, 2, 1),
        (missing_position, 5, 2, 2, 1),
    ],
)
def test_a_series_that_is_no_proper_stack_gets_valid_results(
    tmp_path: Path,
    device: Device,
    dciodvfy_errors: Callable[[Path], list[str]],
    change: Change,
    slices: int,
    segmentations: int,
    volumetric: int,
    planar: int,
) -> None:
    images = series(tmp_path, change, slices=slices)
    reading = make_reading(images)
    findings = find(reading)
    assert sum(kinds_of(findings)) == volumetric
    assert len(findings.reported) == volumetric + planar
    for finding in findings.reported:
        known = finding.key_image.header.pixel_spacing is not None
        assert (finding.size.area_mm2 is not None) == known
        assert finding.volumetric or finding.first is finding.last
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    written = [hd.seg.segread(result.path) for result in objects if result.kind == "SEG"]
    assert len(written) == segmentations
    assert [error for result in objects for error in dciodvfy_errors(result.path)] == []
    shown = [
        segment.SegmentLabel
        for seg in written
        for segment in seg.SegmentSequence
        if segment.SegmentLabel.startswith("Finding")
    ]
    assert sorted(shown) == sorted(f"Finding {finding.number}" for finding in findings.reported)
