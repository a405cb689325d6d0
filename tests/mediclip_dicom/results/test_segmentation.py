"""The Segmentation shows what the map says, where the source has it, and passes dciodvfy."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.results import Device, ResultObject, bands, write_results
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading, without_marks

Validator = Callable[[Path], list[str]]


def segmentations(objects: tuple[ResultObject, ...]) -> list[hd.seg.Segmentation]:
    return [hd.seg.segread(result.path) for result in objects if result.kind == "SEG"]


def assert_marked(mask: np.ndarray, on_source: np.ndarray) -> None:
    """Each pixel above the operating point is in one finding, and none below the low threshold."""
    assert mask.max() == 1
    assert (mask[on_source > np.float32(0.5)] == 1).all()
    assert (on_source[mask == 1] > np.float32(0.475)).all()


@pytest.mark.parametrize("orientation", [sources.AXIAL, sources.OBLIQUE])
def test_an_mr_series_gets_one_segmentation_on_its_own_grid(
    tmp_path: Path,
    device: Device,
    dciodvfy_errors: Validator,
    orientation: tuple[float, ...],
) -> None:
    paths = sources.mr_series(tmp_path, orientation=orientation)
    images = [reading for path in paths for reading in image_readings(path)]
    images = [
        image if number in (1, 4) else without_marks(image) for number, image in enumerate(images)
    ]

    objects = write_results(make_reading(images), device=device, directory=tmp_path / "out")

    assert [result.kind for result in objects] == ["SEG", "SR"]
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    source = dcmread(paths[1])
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert seg.StudyInstanceUID == source.StudyInstanceUID
    assert seg.SeriesInstanceUID != source.SeriesInstanceUID
    labels = [segment.SegmentLabel for segment in seg.SegmentSequence]
    assert labels == [f"Finding {n}" for n in (1, 2, 3, 4)] + [
        "Anomaly map, higher",
        "Anomaly map, highest",
    ]
    assert seg.NumberOfFrames == 4 + 4
    marked = [dcmread(paths[1]), dcmread(paths[4])]
    masks = seg.get_pixels_by_source_instance([ds.SOPInstanceUID for ds in marked])
    for mask, image in zip(masks, (images[1], images[4]), strict=True):
        assert image.placement is not None
        assert image.map is not None
        on_source = image.placement.to_source(image.read_map())
        # Findings are apart from each other, and together all that is marked.
        assert_marked(mask[:, :, :4].sum(axis=2), on_source)
        for band in bands(0.5)[1:]:
            expected = on_source > np.float32(band.threshold)
            assert expected.any()
            assert (mask[:, :, labels.index(f"Anomaly map, {band.name}")] == expected).all()
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert np.allclose(
        shared.PlaneOrientationSequence[0].ImageOrientationPatient, orientation, atol=1e-5
    )
    assert shared.PixelMeasuresSequence[0].PixelSpacing == [1.5, 1.25]
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == pytest.approx(4)
    positions = {
        tuple(groups.PlanePositionSequence[0].ImagePositionPatient)
        for groups in seg.PerFrameFunctionalGroupsSequence
    }
    assert positions == {tuple(ds.ImagePositionPatient) for ds in marked}


def test_the_bands_are_nested_from_yellow_to_red_and_say_what_they_mean(
    tmp_path: Path, device: Device
) -> None:
    reading = make_reading(image_readings(sources.computed_radiograph(tmp_path)))
    (seg,) = segmentations(write_results(reading, device=device, directory=tmp_path / "out"))
    masks = np.moveaxis(seg.pixel_array, 0, -1)
    assert masks.shape == (120, 80, 4)
    finding, higher, highest, further = np.moveaxis(masks, -1, 0)
    assert not (finding & further).any()
    for inner, outer in ((higher, finding), (highest, higher)):
        assert inner.sum() > 0
        assert (inner <= outer).all()
    colours = [
        hd.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue).to_rgb()
        for segment in seg.SegmentSequence
    ]
    greens = [green for _, green, _ in colours]
    assert greens[:3] == sorted(greens[:3], reverse=True)
    assert all(red > 200 and blue < 60 for red, _, blue in colours[:3])
    assert "operating point 0.5." in seg.SegmentSequence[0].SegmentDescription
    assert "above 0.6667 " in seg.SegmentSequence[1].SegmentDescription
    assert all("no probability" in item.SegmentDescription for item in seg.SegmentSequence)
    assert seg.SegmentsOverlap == "YES"
    assert len(seg.SeriesDescription) <= 64
    assert "not for diagnostic use" in seg.SeriesDescription


def test_a_radiograph_without_frame_of_reference_gets_a_valid_segmentation(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator
) -> None:
    path = sources.computed_radiograph(tmp_path)
    (image,) = image_readings(path)

    objects = write_results(make_reading([image]), device=device, directory=tmp_path / "out")

    assert [result.kind for result in objects] == ["SEG", "SR"]
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    assert "FrameOfReferenceUID" not in seg
    assert seg.PatientOrientation == ["L", "F"]
    (item,) = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert item.ReferencedSOPClassUID == sources.CR
    assert item.ReferencedSOPInstanceUID == image.header.sop_instance_uid
    assert image.placement is not None
    assert image.map is not None
    # The smaller region is a speck and in the segment of further regions, the last.
    assert_marked(seg.pixel_array[[0, -1]].sum(axis=0), image.placement.to_source(image.read_map()))


def test_two_views_of_one_series_get_two_segmentations_in_one_new_series(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator
) -> None:
    front = sources.computed_radiograph(tmp_path, series=2)
    side = sources.computed_radiograph(
        tmp_path,
        series=5,
        SeriesInstanceUID=dcmread(front).SeriesInstanceUID,
        ViewPosition="LL",
    )
    images = [*image_readings(front), *image_readings(side)]

    objects = write_results(make_reading(images), device=device, directory=tmp_path / "out")

    first, second = segmentations(objects)
    assert first.SeriesInstanceUID == second.SeriesInstanceUID
    assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
    assert first.SeriesNumber == second.SeriesNumber
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert [error for result in objects for error in dciodvfy_errors(result.path)] == []


@pytest.mark.parametrize("frames", [1, 4])
def test_an_ultrasound_names_the_frame_that_was_marked(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator, frames: int
) -> None:
    path = sources.ultrasound(tmp_path, frames=frames)
    marked = frames  # the last
    reading = make_reading(image_readings(path, marked_frames=[marked]))

    objects = write_results(reading, device=device, directory=tmp_path / "out")

    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    source = (
        seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    )
    assert source.ReferencedSOPClassUID == (sources.US if frames == 1 else sources.US_MULTIFRAME)
    assert source.get("ReferencedFrameNumber") == (None if frames == 1 else marked)
    assert (seg.Rows, seg.Columns) == (60, 90)


def test_an_enhanced_mr_gets_one_segmentation_with_its_frames_in_place(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator
) -> None:
    path = sources.enhanced_mr(tmp_path)
    images = image_readings(path, marked_frames=[2, 3])

    objects = write_results(make_reading(images), device=device, directory=tmp_path / "out")

    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    masks = seg.get_pixels_by_source_frame(
        images[0].header.sop_instance_uid,
        [1, 2, 3, 4],
        ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )
    assert [bool(mask.any()) for mask in masks] == [False, True, True, False]
    assert {
        float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        for groups in seg.PerFrameFunctionalGroupsSequence
    } == {5.0, 10.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "normal"},
        {"verdict": "undetermined", "operating_point": None},
        {"operating_point": 0.96},
    ],
)
def test_without_a_verdict_and_a_marked_pixel_there_is_no_segmentation(
    tmp_path: Path, device: Device, changes: dict[str, object]
) -> None:
    images = image_readings(sources.computed_radiograph(tmp_path))
    reading = make_reading(images, **changes)
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [result.kind for result in objects] == ["SR"]


def test_a_pixel_at_the_operating_point_is_not_marked(tmp_path: Path, device: Device) -> None:
    images = image_readings(sources.computed_radiograph(tmp_path))
    flat = np.full((224, 224), 0.7, dtype=np.float32)
    reading = make_reading([dataclasses.replace(images[0], map=flat)], operating_point=0.7)
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [result.kind for result in objects] == ["SR"]


def test_frames_that_share_bytes_of_pixel_data_come_out_whole(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator
) -> None:
    """A frame of 33 × 47 pixels ends within a byte."""
    paths = sources.mr_series(tmp_path, rows=33, columns=47)
    images = [reading for path in paths for reading in image_readings(path)]
    objects = write_results(make_reading(images), device=device, directory=tmp_path / "out")
    assert dciodvfy_errors(objects[0].path) == []
    (seg,) = segmentations(objects)
    masks = seg.get_pixels_by_source_instance([image.header.sop_instance_uid for image in images])
    for mask, image in zip(masks, images, strict=True):
        assert image.placement is not None
        assert_marked(mask[:, :, :2].sum(axis=2), image.placement.to_source(image.read_map()))


def test_regions_that_are_counted_only_have_one_segment_together(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator
) -> None:
    (image,) = image_readings(sources.computed_radiograph(tmp_path, rows=224, columns=224))
    anomaly_map = np.full((224, 224), 0.1, dtype=np.float32)
    for number in range(14):
        row, column = 10 + 50 * (number // 4), 10 + 50 * (number % 4)
        anomaly_map[row : row + 12 + number, column : column + 20] = 0.6
    reading = make_reading([dataclasses.replace(image, map=anomaly_map)])
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    labels = [segment.SegmentLabel for segment in seg.SegmentSequence]
    assert labels == [*(f"Finding {n}" for n in range(1, 11)), "Further marked regions"]
    areas = [int(mask.sum()) for mask in seg.pixel_array]
    assert areas[:10] == sorted(areas[:10], reverse=True)
    assert areas[10] == sum(20 * (12 + number) for number in range(4))


@pytest.mark.parametrize("slices", [1, 3])
def test_a_lone_finding_that_reaches_no_higher_band_gets_its_segment(
    tmp_path: Path, device: Device, dciodvfy_errors: Validator, slices: int
) -> None:
    """An object of one segment holds its identification where frames of several have it."""
    paths = sources.mr_series(tmp_path, rows=64, columns=64)[:slices]
    images = [reading for path in paths for reading in image_readings(path)]
    found = np.full((224, 224), 0.1, dtype=np.float32)
    found[60:120, 70:130] = 0.55
    reading = make_reading([dataclasses.replace(image, map=found) for image in images])
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    (seg,) = segmentations(objects)
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Finding 1"]
    assert seg.pixel_array.reshape(slices, 64, 64).any(axis=(1, 2)).all()
