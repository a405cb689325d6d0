"""All objects or none, the same at every repeat, the patient's attributes untouched."""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UID

from mediclip_dicom.errors import ResultWriteError, UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging import read_header
from mediclip_dicom.results import Device, Reading, StoredMap, write_results
from tests.factories import sources
from tests.factories.readings import image_readings, make_reading


@pytest.fixture
def reading(tmp_path: Path) -> Reading:
    paths = sources.mr_series(tmp_path, slices=3)
    return make_reading([image for path in paths for image in image_readings(path)])


def test_a_repeat_gives_the_same_files_byte_for_byte(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    first = write_results(reading, device=device, directory=tmp_path / "first")
    second = write_results(reading, device=device, directory=tmp_path / "second")
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert one.path.name == other.path.name == f"{one.sop_instance_uid}.dcm"
        assert one.path.read_bytes() == other.path.read_bytes()
        assert one.sha256 == other.sha256 == hashlib.sha256(one.path.read_bytes()).hexdigest()


def test_maps_that_lie_on_disk_give_the_same_files_as_maps_in_memory(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    np.save(tmp_path / "maps.npy", np.stack([image.read_map() for image in reading.images]))
    stored = dataclasses.replace(
        reading,
        images=tuple(
            dataclasses.replace(image, map=StoredMap(tmp_path / "maps.npy", index))
            for index, image in enumerate(reading.images)
        ),
    )
    in_memory, on_disk = (
        write_results(one, device=device, directory=tmp_path / name, kinds=["FRACTIONAL"])
        for name, one in (("memory", reading), ("disk", stored))
    )
    assert len(in_memory) == 3
    assert [one.sha256 for one in on_disk] == [one.sha256 for one in in_memory]


def test_other_content_or_another_task_version_gives_other_objects(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    variants = (
        reading,
        dataclasses.replace(reading, study_content_digest="12" * 32),
        dataclasses.replace(reading, task_version_uid="2.25.1"),
    )
    uids = {
        uid
        for variant in variants
        for result in write_results(variant, device=device, directory=tmp_path / "out")
        for uid in (result.sop_instance_uid, result.series_instance_uid)
    }
    assert len(uids) == 3 * 2 * 2
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "محمد^علي"),
        ("ISO_IR 100", "Müller^Jürgen"),
    ],
)
def test_names_in_every_script_survive(
    tmp_path: Path,
    device: Device,
    dciodvfy_errors: Callable[[Path], list[str]],
    character_set: str | list[str],
    name: str,
) -> None:
    path = sources.computed_radiograph(
        tmp_path, SpecificCharacterSet=character_set, PatientName=name
    )
    reading = make_reading(image_readings(path))
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert len(objects) == 2
    for result in objects:
        written = dcmread(result.path)
        assert str(written.PatientName) == name
        assert dciodvfy_errors(result.path) == []


def test_patient_and_study_attributes_are_copied(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    source = dcmread(reading.images[0].path)
    for result in write_results(reading, device=device, directory=tmp_path / "out"):
        written = dcmread(result.path)
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "PatientAge",
            "StudyInstanceUID",
            "StudyDate",
            "StudyTime",
            "StudyID",
            "AccessionNumber",
            "ReferringPhysicianName",
        ):
            assert written[keyword].value == source[keyword].value, keyword


def test_a_source_with_missing_and_malformed_attributes_gets_valid_results(
    tmp_path: Path, device: Device, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    path = sources.computed_radiograph(
        tmp_path,
        PatientSex="X",
        PatientAge="22Y",
        StudyDate="2020.01.02",
        FrameOfReferenceUID="",
        PixelSpacing=[0, 0],
    )
    dataset = dcmread(path)
    for keyword in ("AccessionNumber", "StudyID", "StudyTime", "ReferringPhysicianName"):
        delattr(dataset, keyword)
    sources.write(dataset, path)
    reading = make_reading(image_readings(path))
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [result.kind for result in objects] == ["SEG", "SR"]
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]
    assert {dcmread(result.path).StudyDate for result in objects} == {"20200102"}


def test_a_slice_without_thickness_or_window_gets_a_valid_segmentation(
    tmp_path: Path, device: Device, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    paths = sources.mr_series(tmp_path, slices=3, SliceThickness=None)
    reading = make_reading([image for path in paths for image in image_readings(path)])
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [result.kind for result in objects] == ["SEG", "SR"]
    assert [dciodvfy_errors(result.path) for result in objects] == [[], []]


def test_a_source_of_a_retired_class_gets_results_that_name_it(
    tmp_path: Path, device: Device, dciodvfy_errors: Callable[[Path], list[str]]
) -> None:
    retired = UID("1.2.840.10008.5.1.4.1.1.6")  # Ultrasound Image, before 1993
    path = sources.ultrasound(tmp_path)
    dataset = dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = UID(retired)
    sources.write(dataset, path)
    reading = make_reading(image_readings(path))
    objects = write_results(reading, device=device, directory=tmp_path / "out")
    assert [result.kind for result in objects] == ["SEG", "SR"]
    (evidence,) = dcmread(objects[1].path).CurrentRequestedProcedureEvidenceSequence
    classes = {
        reference.ReferencedSOPClassUID
        for series in evidence.ReferencedSeriesSequence
        for reference in series.ReferencedSOPSequence
    }
    assert classes == {retired, objects[0].sop_class_uid}
    assert dciodvfy_errors(objects[0].path) == []


def test_our_own_results_are_recognised_and_never_read_as_images(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    for result in write_results(reading, device=device, directory=tmp_path / "out"):
        with pytest.raises(UnsupportedImageError) as caught:
            read_header(result.path, own_device_uid=device.uid)
        assert caught.value.reason is UnsupportedReason.OWN_RESULT


def test_a_task_and_a_device_of_any_length_and_script_give_valid_objects(
    tmp_path: Path,
    device: Device,
    reading: Reading,
    dciodvfy_errors: Callable[[Path], list[str]],
) -> None:
    long = dataclasses.replace(reading, task_name="脳の" + "x" * 200)
    maker = dataclasses.replace(device, manufacturer="Größe GmbH " * 20)
    for result in write_results(long, device=maker, directory=tmp_path / "out"):
        description = dcmread(result.path).SeriesDescription
        assert len(description) <= 64
        assert description.endswith("not for diagnostic use")
        assert dciodvfy_errors(result.path) == []


def test_when_a_source_is_gone_nothing_is_left_behind(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    reading.images[0].path.unlink()
    out = tmp_path / "out"
    with pytest.raises(ResultWriteError, match="sources"):
        write_results(reading, device=device, directory=out)
    assert not out.exists() or list(out.iterdir()) == []


def test_nothing_but_the_objects_lies_in_the_folder(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    out = tmp_path / "out"
    objects = write_results(reading, device=device, directory=out)
    assert sorted(out.iterdir()) == sorted(result.path for result in objects)


def test_all_dates_are_those_of_the_analysis(
    tmp_path: Path, device: Device, reading: Reading
) -> None:
    for result in write_results(reading, device=device, directory=tmp_path / "out"):
        written = dcmread(result.path)
        for stem in ("InstanceCreation", "Content", "Series"):
            assert written[f"{stem}Date"].value == "20260102"
            assert written[f"{stem}Time"].value == "030405.000678"
