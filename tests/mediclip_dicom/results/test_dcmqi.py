"""The Segmentation as 3D Slicer reads it: by dcmqi, which its extension for Segmentations runs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest

from mediclip_dicom.results import Device, ImageReading, Reading, write_results
from tests.factories import modalities, sources
from tests.factories.nrrd import read_nrrd
from tests.factories.readings import image_readings, make_reading

dcmqi = pytest.importorskip("dcmqi", reason="dcmqi is not installed (pip install dcmqi)")

PROGRAM = Path(dcmqi.__file__).parent / "bin" / "segimage2itkimage"

Make = Callable[[Path], list[Path]]

SERIES: dict[str, Make] = {
    "MR": lambda f: sources.mr_series(f),
    "oblique MR": lambda f: sources.mr_series(f, orientation=sources.OBLIQUE),
    "enhanced MR": lambda f: [sources.enhanced_mr(f)],
}


def read_by_dcmqi(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    folder.mkdir()
    return subprocess.run(
        [PROGRAM, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd", "-p", "read"],
        capture_output=True,
        text=True,
        check=False,
    )


def written(reading: Reading, device: Device, folder: Path) -> Path:
    objects = write_results(reading, device=device, directory=folder)
    (path,) = (result.path for result in objects if result.kind == "SEG")
    return path


def places_of(images: list[ImageReading], seg: hd.seg.Segmentation, number: int) -> np.ndarray:
    """Patient coordinates of a segment's pixels, by the planes of the source's own headers."""
    found = []
    planes = {image.plane.position: image.plane for image in images if image.plane is not None}
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        position = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        plane = min(planes.values(), key=lambda p: np.linalg.norm(np.array(p.position) - position))
        along_row, along_column = np.reshape(plane.orientation, (2, 3))
        row, column = np.nonzero(frame)
        found.append(
            np.array(plane.position)
            + np.outer(column, along_row) * plane.spacing[1]
            + np.outer(row, along_column) * plane.spacing[0]
        )
    return np.concatenate(found)


@pytest.mark.parametrize("kind", SERIES)
def test_dcmqi_puts_every_segment_where_its_pixels_are_in_the_patient(
    tmp_path: Path, device: Device, kind: str
) -> None:
    paths = SERIES[kind](tmp_path)
    images = [image for path in paths for image in image_readings(path)]
    path = written(make_reading(images), device, tmp_path / "out")
    done = read_by_dcmqi(path, tmp_path / "read")
    assert done.returncode == 0, done.stderr
    seg = hd.seg.segread(path)
    meta = json.loads((tmp_path / "read" / "read-meta.json").read_text())
    described = [segment for (segment,) in meta["segmentAttributes"]]
    assert [segment["SegmentLabel"] for segment in described] == [
        segment.SegmentLabel for segment in seg.SegmentSequence
    ]
    assert "Finding 1" in [segment["SegmentLabel"] for segment in described]
    for number, segment in enumerate(seg.SegmentSequence, start=1):
        assert described[number - 1]["TrackingUniqueIdentifier"] == segment.TrackingUID
        volume = read_nrrd(tmp_path / "read" / f"read-{number}.nrrd")
        expected = places_of(images, seg, number)
        assert len(expected) > 0
        assert in_order(volume.places()) == pytest.approx(in_order(expected), abs=0.02)


def test_dcmqi_reads_a_tilted_series(tmp_path: Path, device: Device) -> None:
    """A sheared stack is no regular volume: each pixel stays in its slice and in its row."""
    paths = modalities.ct_series(tmp_path, tilt=15.0)
    images = [image for path in paths for image in image_readings(path)]
    path = written(make_reading(images), device, tmp_path / "out")
    done = read_by_dcmqi(path, tmp_path / "read")
    assert done.returncode == 0, done.stderr
    seg = hd.seg.segread(path)
    volume = read_nrrd(tmp_path / "read" / "read-1.nrrd")
    assert len(volume.places()) == len(places_of(images, seg, 1))


def in_order(places: np.ndarray) -> np.ndarray:
    rounded = np.round(places, 1)
    return places[np.lexsort(rounded.T)]
