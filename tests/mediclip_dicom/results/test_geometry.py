"""A mark painted on any kind of image comes out where it was painted, to half a source pixel."""

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai_core.images import Mode
from mediclip_dicom.results import Device, ResultObject, write_results
from tests.factories import modalities, sources
from tests.factories.readings import echoed, make_reading

Make = Callable[[Path], list[Path]]

KINDS: dict[str, Make] = {
    "axial MR, oblong pixels": lambda f: sources.mr_series(f, rows=150, columns=240),
    "sagittal MR": lambda f: sources.mr_series(f, orientation=modalities.SAGITTAL, rows=300),
    "oblique MR, larger than the input": lambda f: sources.mr_series(
        f, slices=2, orientation=sources.OBLIQUE, rows=410, columns=322, spacing=(0.7, 0.7)
    ),
    "CT": lambda f: modalities.ct_series(f),
    "CT with gantry tilt": lambda f: modalities.ct_series(f, tilt=18.0),
    "CT, irregular spacing": lambda f: modalities.ct_series(f, positions=(0, 1, 4, 4.5, 9)),
    "CT, missing slices": lambda f: modalities.ct_series(f, positions=(0, 2.5, 10, 12.5)),
    "enhanced MR": lambda f: [sources.enhanced_mr(f, rows=96, columns=72)],
    "enhanced CT, planes frame by frame": lambda f: [modalities.enhanced_ct(f)],
    "CR, MONOCHROME1": lambda f: [sources.computed_radiograph(f, rows=700, columns=530)],
    "CR without spacing": lambda f: [
        modalities.change(sources.computed_radiograph(f), ImagerPixelSpacing=None)
    ],
    "DX": lambda f: [modalities.digital_radiograph(f, PixelSpacing=[0.17, 0.17])],
    "MG": lambda f: [modalities.mammogram(f)],
    "colour US": lambda f: [sources.ultrasound(f)],
    "multi-frame colour US": lambda f: [sources.ultrasound(f, frames=3)],
    "XA": lambda f: [modalities.angiogram(f)],
    "SC": lambda f: [modalities.secondary_capture(f)],
}


def corner_pattern(rows: int, columns: int) -> list[tuple[slice, slice]]:
    """Three marks of unlike size near three corners: a flip, a turn or a shift shows."""
    tall, wide = rows // 6, columns // 6
    return [
        (slice(tall // 2, tall // 2 + tall), slice(wide // 2, wide // 2 + wide)),
        (slice(tall // 2, tall // 2 + tall), slice(columns - 2 * wide, columns - wide // 2)),
        (slice(rows - 3 * tall, rows - tall // 2), slice(wide // 2, wide // 2 + wide)),
    ]


def finding_frames(objects: tuple[ResultObject, ...]) -> dict[tuple[str, int], np.ndarray]:
    """The mask of all findings by source instance and frame; where each frame is, is checked."""
    frames: dict[tuple[str, int], np.ndarray] = {}
    for result in objects:
        if result.kind != "SEG":
            continue
        seg = hd.seg.segread(result.path)
        bands = {
            segment.SegmentNumber
            for segment in seg.SegmentSequence
            if segment.SegmentLabel.startswith("Anomaly map")
        }
        pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
        met = set()
        for mask, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
            source = groups.DerivationImageSequence[0].SourceImageSequence[0]
            key = (source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber") or 1))
            segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            assert (key, segment) not in met
            met.add((key, segment))
            assert mask.any()
            if "PlanePositionSequence" in groups:
                assert_same_plane(seg, groups, key)
            if segment not in bands:
                frames[key] = mask | frames.get(key, np.zeros_like(mask))
    return frames


PLANES: dict[tuple[str, int], Dataset] = {}


def assert_same_plane(seg: Dataset, groups: Dataset, key: tuple[str, int]) -> None:
    source = PLANES[key]
    shared = seg.SharedFunctionalGroupsSequence[0]
    for found, expected in (
        (groups.PlanePositionSequence[0].ImagePositionPatient, source.ImagePositionPatient),
        (
            shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            source.ImageOrientationPatient,
        ),
        (shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing),
    ):
        assert np.allclose(np.array(found, float), np.array(expected, float), atol=1e-4)


def remember_planes(paths: list[Path]) -> bool:
    """The planes that the source files say, read by other means than the code's."""
    PLANES.clear()
    placed = False
    for path in paths:
        image = hd.imread(path) if "PerFrameFunctionalGroupsSequence" in dcmread(path) else None
        dataset = dcmread(path)
        for index in range(int(dataset.get("NumberOfFrames") or 1)):
            plane = Dataset()
            if image is not None:
                groups = dataset.PerFrameFunctionalGroupsSequence[index]
                shared = dataset.SharedFunctionalGroupsSequence[0]
                plane.ImagePositionPatient = groups.PlanePositionSequence[0].ImagePositionPatient
                orientation = groups.get("PlaneOrientationSequence") or (
                    shared.PlaneOrientationSequence
                )
                measures = groups.get("PixelMeasuresSequence") or shared.PixelMeasuresSequence
                plane.ImageOrientationPatient = orientation[0].ImageOrientationPatient
                plane.PixelSpacing = measures[0].PixelSpacing
            elif "ImagePositionPatient" in dataset:
                for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
                    setattr(plane, keyword, dataset[keyword].value)
            placed |= bool(plane)
            PLANES[str(dataset.SOPInstanceUID), index + 1] = plane
    return placed


@pytest.mark.parametrize("mode", ["pad", "stretch"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_painted_pattern_comes_out_where_it_was_painted(
    tmp_path: Path,
    device: Device,
    dciodvfy_errors: Callable[[Path], list[str]],
    kind: str,
    mode: Mode,
) -> None:
    paths = KINDS[kind](tmp_path)
    header = dcmread(paths[0], stop_before_pixels=True)
    marks = corner_pattern(header.Rows, header.Columns)
    painted = np.zeros((header.Rows, header.Columns), dtype=bool)
    for mark in marks:
        painted[mark] = True
    for path in paths:
        modalities.paint(path, painted)
    placed = remember_planes(paths)

    readings = echoed(paths, mode)
    objects = write_results(make_reading(readings), device=device, directory=tmp_path / "out")

    assert [error for result in objects for error in dciodvfy_errors(result.path)] == []
    frames = finding_frames(objects)
    assert set(frames) == {(r.header.sop_instance_uid, r.frame_number) for r in readings}
    assert ("FrameOfReferenceUID" in dcmread(objects[0].path)) == placed
    for mask in frames.values():
        assert mask.shape == painted.shape
        for rows, columns in marks:
            # The mark with its surroundings, up to where another one could be.
            top, left = max(0, rows.start - 5), max(0, columns.start - 5)
            around = mask[top : rows.stop + 5, left : columns.stop + 5]
            found = np.argwhere(around).mean(axis=0) + np.array([top, left])
            meant = ((rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2)
            assert np.abs(found - meant).max() < 0.5, (kind, found, meant)
        assert (mask.astype(bool) & ~_grown(painted, 2)).sum() == 0


def _grown(mask: np.ndarray, by: int) -> np.ndarray:
    grown = mask.copy()
    for row in range(-by, by + 1):
        for column in range(-by, by + 1):
            grown |= np.roll(mask, (row, column), axis=(0, 1))
    return grown


def test_echoes_in_the_same_places_get_segmentations_of_their_own(
    tmp_path: Path, device: Device, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    first = sources.mr_series(tmp_path, slices=3, series=1, EchoTime=10)
    second = [
        modalities.change(
            path,
            SeriesInstanceUID=dcmread(first[0]).SeriesInstanceUID,
            FrameOfReferenceUID=dcmread(first[0]).FrameOfReferenceUID,
            EchoTime=80,
        )
        for path in sources.mr_series(tmp_path, slices=3, series=2)
    ]
    for path in (*first, *second):
        modalities.paint(path, np.ones((48, 64), dtype=bool))
    readings = echoed([*first, *second], "pad")
    objects = write_results(make_reading(readings), device=device, directory=tmp_path / "out")
    segmentations = [dcmread(result.path) for result in objects if result.kind == "SEG"]
    assert len(segmentations) == 2
    assert len(first_band_frames_of(objects)) == 6
    assert [error for result in objects for error in dciodvfy_errors(result.path)] == []


def first_band_frames_of(objects: tuple[ResultObject, ...]) -> set[tuple[str, int]]:
    remember_planes([])
    found = set()
    for result in objects:
        if result.kind == "SEG":
            for groups in dcmread(result.path).PerFrameFunctionalGroupsSequence:
                source = groups.DerivationImageSequence[0].SourceImageSequence[0]
                number = int(source.get("ReferencedFrameNumber") or 1)
                found.add((str(source.ReferencedSOPInstanceUID), number))
    return found


def test_frames_of_an_enhanced_image_that_lie_differently_get_segmentations_of_their_own(
    tmp_path: Path, device: Device
) -> None:
    path = sources.enhanced_mr(tmp_path)
    dataset = dcmread(path)
    for index in (2, 3):
        modalities.with_plane(
            dataset,
            index,
            ImageOrientationPatient=list(modalities.CORONAL),
            ImagePositionPatient=[-20, 5 * index, 40],
        )
    shared = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    for index in (0, 1):
        modalities.with_plane(
            dataset, index, ImageOrientationPatient=shared.ImageOrientationPatient
        )
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    sources.write(dataset, path)
    modalities.paint(path, np.ones((dataset.Rows, dataset.Columns), dtype=bool))
    remember_planes([path])
    objects = write_results(
        make_reading(echoed([path], "pad")), device=device, directory=tmp_path / "out"
    )
    assert [result.kind for result in objects] == ["SEG", "SEG", "SR"]
    assert len(finding_frames(objects)) == 4
