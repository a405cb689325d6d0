"""Each kind of result object holds what it should, for each kind of source, and is valid."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.sr.coding import Code
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from mediclip_dicom.errors import ResultWriteError, UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging import read_header
from mediclip_dicom.results import (
    Device,
    ImageReading,
    ResultObject,
    maps,
    multiframe,
    write_results,
)
from mediclip_dicom.results.picture import image_box
from mediclip_dicom.settings import PROFILES, ResultKind
from tests.factories import modalities, sources
from tests.factories.readings import ALL, KINDS, image_readings, make_reading, without_marks
from tests.factories.reports import measurements, read_report


def by_kind(objects: tuple[ResultObject, ...]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for result in objects:
        found.setdefault(result.kind, []).append(result.path)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_object_of_every_source_is_valid_and_says_what_it_is(
    tmp_path: Path, device: Device, dciodvfy_lines: Callable[[Path], list[str]], kind: str
) -> None:
    images = [image for path in KINDS[kind](tmp_path) for image in image_readings(path)]
    objects = write_results(
        make_reading(images), device=device, directory=tmp_path / "out", kinds=ALL
    )
    paths = by_kind(objects)
    placed = images[0].plane is not None
    assert set(paths) == set(ALL) - (set() if placed else {"PM"})
    for result in objects:
        assert dciodvfy_lines(result.path) == [], result.kind
        written = dcmread(result.path)
        assert written.StudyInstanceUID == images[0].header.study_instance_uid
        assert "not for diagnostic use" in written.SeriesDescription
        assert device.uid in {
            item.get("DeviceUID") for item in written.ContributingEquipmentSequence
        }
        with pytest.raises(UnsupportedImageError) as caught:
            read_header(result.path, own_device_uid=device.uid)
        assert caught.value.reason is UnsupportedReason.OWN_RESULT
    numbers = {result.kind: int(dcmread(result.path).SeriesNumber) for result in objects}
    assert len(set(numbers.values())) == len(numbers)
    if not placed:
        assert "No parametric map of series" in dcmread(paths["SR"][0]).to_json()


@pytest.mark.parametrize(
    ("named", "coded", "region"),
    [
        ("BRAIN", None, "Brain"),
        ("C SPINE", None, "Cervical spine"),
        ("", None, "Entire body"),
        ("SOMETHING", None, "Entire body"),
        ("HEAD", Code("80891009", "SCT", "Heart"), "Heart"),
    ],
)
def test_a_parametric_map_says_which_region_it_shows(
    tmp_path: Path, device: Device, named: str, coded: Code | None, region: str
) -> None:
    paths = sources.mr_series(tmp_path)
    for path in paths:
        source = dcmread(path)
        source.BodyPartExamined = named
        source.ImageLaterality = "L"
        if coded is not None:
            source.AnatomicRegionSequence = [hd.sr.CodedConcept.from_code(coded)]
        source.save_as(path)
    images = [image for path in paths for image in image_readings(path)]
    objects = write_results(
        make_reading(images), device=device, directory=tmp_path / "out", kinds=("SR", "PM")
    )
    written = dcmread(by_kind(objects)["PM"][0])
    (anatomy,) = written.SharedFunctionalGroupsSequence[0].FrameAnatomySequence
    assert anatomy.FrameLaterality == "L"
    assert anatomy.AnatomicRegionSequence[0].CodeMeaning == region


def test_all_kinds_are_byte_for_byte_the_same_at_a_repeat(tmp_path: Path, device: Device) -> None:
    reading = make_reading(
        [image for path in sources.mr_series(tmp_path) for image in image_readings(path)]
    )
    first, second = (
        write_results(reading, device=device, directory=tmp_path / name, kinds=ALL)
        for name in ("first", "second")
    )
    assert [one.sha256 for one in first] == [other.sha256 for other in second]
    assert len({one.sop_instance_uid for one in first}) == len(first)


@pytest.mark.parametrize(("profile", "kinds"), PROFILES.items())
def test_a_profile_gets_its_kinds_and_report_and_segmentation_are_always_there(
    tmp_path: Path, device: Device, profile: str, kinds: tuple[ResultKind, ...]
) -> None:
    reading = make_reading(image_readings(sources.computed_radiograph(tmp_path)))
    objects = write_results(reading, device=device, directory=tmp_path / "out", kinds=kinds)
    assert {result.kind for result in objects} == {"SR", "SEG", *kinds}


def test_maps_hold_every_scored_frame_of_a_normal_study_and_their_values(
    tmp_path: Path, device: Device
) -> None:
    images = [image for path in sources.mr_series(tmp_path) for image in image_readings(path)]
    images[1] = without_marks(images[1])
    images[2] = dataclasses.replace(
        images[2], score=None, map=None, placement=None, skipped="broken"
    )
    reading = make_reading(images, verdict="normal")
    objects = write_results(
        reading, device=device, directory=tmp_path / "out", kinds=("FRACTIONAL", "PM")
    )
    paths = by_kind(objects)
    assert set(paths) == {"FRACTIONAL", "PM", "SR"}
    scored = [image for image in images if image.map is not None]
    uids = [image.header.sop_instance_uid for image in scored]
    fractional = hd.seg.segread(paths["FRACTIONAL"][0])
    eighths = fractional.get_pixels_by_source_instance(uids, rescale_fractional=True)[..., 0]
    parametric = hd.pm.sop.pmread(paths["PM"][0])
    floats = parametric.get_frames(apply_real_world_transform=True)
    named = [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for groups in parametric.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(named) == sorted(uids)
    for image, quantised in zip(scored, eighths, strict=True):
        expected = maps.source_map(image)
        assert np.abs(quantised - expected).max() <= 0.51 / 255
        assert (floats[named.index(image.header.sop_instance_uid)] == expected).all()


def test_a_fused_picture_shows_image_mark_and_warning(tmp_path: Path, device: Device) -> None:
    path = sources.computed_radiograph(tmp_path, rows=240, columns=160)
    modalities.paint(path, np.zeros((240, 160), dtype=bool))
    (image,) = image_readings(path)
    objects = write_results(
        make_reading([image]), device=device, directory=tmp_path / "out", kinds=["SC"]
    )
    picture = dcmread(by_kind(objects)["SC"][0])
    assert picture.PatientOrientation == ["L", "F"]
    assert picture.ImageType[:2] == ["DERIVED", "SECONDARY"]
    (source,) = picture.SourceImageSequence
    assert source.ReferencedSOPInstanceUID == image.header.sop_instance_uid
    left, top, right, bottom = image_box(240, 160, lines=2, pixel_aspect=1.0)
    shown = picture.pixel_array[top:bottom, left:right].astype(int)
    coloured = shown[..., 0] - shown[..., 2] > 40
    expected = maps.source_map(image) > 0.5
    scale = 240 / (bottom - top)
    for row, column in np.argwhere(coloured)[::97]:
        around = expected[
            max(0, int(row * scale) - 2) : int(row * scale) + 3,
            max(0, int(column * scale) - 2) : int(column * scale) + 3,
        ]
        assert around.any()
    assert coloured.mean() == pytest.approx(expected.mean(), abs=0.02)
    assert picture.pixel_array[:30].max() > 200  # the warning, above the image
    legend = picture.pixel_array[top:bottom, right:].astype(int)
    assert (legend[..., 0] - legend[..., 2] > 40).any()


def test_key_objects_name_the_flagged_images_and_frames(tmp_path: Path, device: Device) -> None:
    path = sources.ultrasound(tmp_path, frames=4)
    reading = make_reading(image_readings(path, marked_frames=[2, 4]))
    objects = write_results(reading, device=device, directory=tmp_path / "out", kinds=["KO"])
    document = dcmread(by_kind(objects)["KO"][0])
    (reference,) = [
        item
        for content in document.ContentSequence
        for item in content.get("ReferencedSOPSequence", ())
    ]
    assert reference.ReferencedSOPClassUID == sources.US_MULTIFRAME
    assert list(reference.ReferencedFrameNumber) == [2, 4]
    assert document.ConceptNameCodeSequence[0].CodeValue == "113000"


def test_a_normal_study_has_neither_pictures_nor_key_objects(
    tmp_path: Path, device: Device
) -> None:
    images = image_readings(sources.computed_radiograph(tmp_path))
    objects = write_results(
        make_reading(images, verdict="normal"),
        device=device,
        directory=tmp_path / "out",
        kinds=("SC", "KO"),
    )
    assert [result.kind for result in objects] == ["SR"]


def test_when_one_object_fails_none_is_left(tmp_path: Path, device: Device) -> None:
    path = sources.computed_radiograph(tmp_path)
    images = image_readings(path)
    dataset = dcmread(path)
    del dataset.PixelData  # the header is whole: only the picture can't be made
    sources.write(dataset, path)
    with pytest.raises(ResultWriteError):
        write_results(make_reading(images), device=device, directory=tmp_path / "out", kinds=["SC"])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_large_segmentation_is_deflated_and_stays_one_object(
    tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [
        image for path in sources.mr_series(tmp_path, slices=5) for image in image_readings(path)
    ]
    plain, deflated = (
        write_once(images, device, tmp_path / name, limit, monkeypatch)
        for name, limit in (("plain", 2**20), ("deflated", 2000))
    )
    assert plain.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert deflated.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert (plain.pixel_array == deflated.pixel_array).all()
    assert int(deflated.NumberOfFrames) == 5 * 4
    shared = deflated.SharedFunctionalGroupsSequence[0]
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == pytest.approx(4)


def write_once(
    images: list[ImageReading],
    device: Device,
    folder: Path,
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> hd.seg.Segmentation:
    monkeypatch.setattr(multiframe, "DEFLATE_ABOVE_BYTES", limit)
    objects = write_results(make_reading(images), device=device, directory=folder)
    assert [result.kind for result in objects] == ["SEG", "SR"]
    report = read_report(objects[-1].path)
    assert len(measurements(report).get_volumetric_roi_measurement_groups()) == 2
    return hd.seg.segread(objects[0].path)
