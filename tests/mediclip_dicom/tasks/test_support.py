"""Support sets from what an administrator names: DICOM or pictures, each study counted once."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from mediclip_dicom.errors import SupportSetReadError
from mediclip_dicom.imaging import Preparation
from mediclip_dicom.tasks import FolderSource, Route, SupportSet, read_support_set
from tests.factories import sources
from tests.factories.studies import PATIENT_ID, PATIENT_NAME, mr_study, study_uid

MR_BRAIN = Route("MR", body_part="BRAIN")


def read(paths: list[Path], *, pictures: bool = False, **changes: Any) -> SupportSet:
    arguments: dict[str, Any] = {
        "route": MR_BRAIN,
        "preparation": Preparation("pad"),
        "images_per_study": 3,
    }
    source = FolderSource(tuple(paths), pictures=pictures)
    return read_support_set(source, **(arguments | changes))


def picture(path: Path, *, seed: int) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def reasons(support: SupportSet) -> dict[str, str]:
    return {skipped.path.name: skipped.reason for skipped in support.left_out}


def test_a_folder_of_dicom_becomes_studies(tmp_path: Path) -> None:
    for number in range(3):
        mr_study(tmp_path / "normals" / f"study-{number}", number)
    support = read([tmp_path / "normals"])
    assert support.k == 3
    assert tuple(support.images.shape) == (9, 3, 224, 224)
    assert support.groups == (0, 0, 0, 1, 1, 1, 2, 2, 2)
    assert [item.study for item in support.items[::3]] == [study_uid(n) for n in range(3)]
    assert support.left_out == ()


def test_files_of_one_study_in_two_folders_are_one_study(tmp_path: Path) -> None:
    first, second, third = mr_study(tmp_path / "a", 1)
    (tmp_path / "b").mkdir()
    moved = Path(shutil.move(third, tmp_path / "b"))
    assert read([first, second, moved]).k == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_each_picture_is_a_study_of_its_own(tmp_path: Path, suffix: str) -> None:
    for seed in range(3):
        picture(tmp_path / f"normal-{seed}{suffix}", seed=seed)
    support = read([tmp_path])
    assert support.k == 3
    assert tuple(support.images.shape) == (3, 3, 224, 224)
    assert 0 <= float(support.images.min()) < float(support.images.max()) <= 1


def test_a_picture_is_known_by_its_digest_and_never_by_its_name(tmp_path: Path) -> None:
    path = picture(tmp_path / f"{PATIENT_NAME}.png", seed=1)
    (item,) = read([path]).items
    assert item.study == item.image == item.digest
    assert len(item.digest) == 64


def test_the_digest_of_an_image_is_that_of_what_the_detector_sees(tmp_path: Path) -> None:
    support = read(mr_study(tmp_path, 1))
    for item, image in zip(support.items, support.images, strict=True):
        assert item.digest == hashlib.sha256(image.numpy().tobytes()).hexdigest()
    assert len({item.digest for item in support.items}) == 3


def test_no_more_images_of_a_study_are_taken_than_asked_for(tmp_path: Path) -> None:
    paths = mr_study(tmp_path, 1, slices=7)
    support = read(paths, images_per_study=3)
    assert [item.image for item in support.items] == [
        str(dcmread(paths[index]).SOPInstanceUID) for index in (1, 3, 5)
    ]
    assert read(paths, images_per_study=50).images.shape[0] == 7


def test_frames_of_a_multi_frame_image_count_as_images(tmp_path: Path) -> None:
    path = sources.ultrasound(tmp_path, frames=6)
    support = read([path], route=Route("US"), images_per_study=3)
    assert [item.frame for item in support.items] == [2, 4, 6]


def test_images_that_the_task_would_not_read_are_left_out_and_named(tmp_path: Path) -> None:
    mr_study(tmp_path, 1)
    sources.computed_radiograph(tmp_path)
    (tmp_path / "readme.txt").write_text("normal studies")
    (tmp_path / ".DS_Store").write_text("hidden")
    support = read([tmp_path])
    assert support.k == 1
    assert reasons(support) == {
        "cr-2.dcm": "the task reads MR, body part BRAIN",
        "readme.txt": "neither DICOM nor a picture",
    }


def test_the_same_image_twice_counts_once(tmp_path: Path) -> None:
    paths = mr_study(tmp_path / "first", 1)
    shutil.copytree(tmp_path / "first", tmp_path / "again")
    support = read([tmp_path])
    assert len(support.items) == len(paths)
    assert [skipped.reason for skipped in support.left_out] == [
        "the same image as another file"
    ] * 3


def test_the_same_pictures_twice_are_not_more_studies(tmp_path: Path) -> None:
    """A normal that is held out and yet fitted on would make the operating point a lie."""
    for seed in range(2):
        path = picture(tmp_path / f"normal-{seed}.png", seed=seed)
        shutil.copy(path, tmp_path / f"copy-{seed}.png")
    support = read([tmp_path])
    assert support.k == 2
    assert len(support.left_out) == 2


def test_a_study_that_was_sent_again_under_new_uids_is_not_another_study(tmp_path: Path) -> None:
    for path in mr_study(tmp_path / "first", 1):
        dataset = dcmread(path)
        dataset.StudyInstanceUID = study_uid(2)
        dataset.SOPInstanceUID = dataset.SOPInstanceUID + ".2"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(tmp_path / f"again-{path.name}", enforce_file_format=True)
    support = read([tmp_path])
    assert support.k == 1
    assert set(support.groups) == {0}


def test_blank_slices_are_left_out_and_the_rest_is_used(tmp_path: Path) -> None:
    paths = mr_study(tmp_path, 1, slices=3)
    dataset = dcmread(paths[0])
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(paths[0], enforce_file_format=True)
    support = read(paths)
    assert len(support.items) == 2
    assert reasons(support) == {paths[0].name: "blank: every pixel has one value"}


def test_nothing_usable_says_why(tmp_path: Path) -> None:
    sources.computed_radiograph(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(SupportSetReadError, match="none of 1 DICOM images") as caught:
        read([tmp_path])
    assert "the task reads MR, body part BRAIN; their modalities are CR" in str(caught.value)
    with pytest.raises(SupportSetReadError, match="none of 1 files can be used") as caught:
        read([tmp_path / "notes.txt"])
    assert "an empty file" in str(caught.value)


def test_an_empty_folder_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(SupportSetReadError, match="hold no files; name folders or files"):
        read([tmp_path])


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SupportSetReadError, match=r"no file or folder .*normlas"):
        read([tmp_path / "normlas"])


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "fine.png", seed=1)
    (tmp_path / "broken.png").write_bytes((tmp_path / "fine.png").read_bytes()[:100])
    with pytest.raises(SupportSetReadError, match=r"broken\.png can't be read as a picture"):
        read([tmp_path])


def test_a_broken_dicom_image_is_named_without_its_patient(tmp_path: Path) -> None:
    paths = mr_study(tmp_path, 1)
    dataset = dcmread(paths[1])
    dataset.PixelData = dataset.PixelData[:100]
    dataset.save_as(paths[1], enforce_file_format=True)
    with pytest.raises(SupportSetReadError, match=f"{paths[1].name} can't be decoded") as caught:
        read(paths)
    assert PATIENT_NAME not in str(caught.value)
    assert PATIENT_ID not in str(caught.value)


def test_reading_reports_how_far_it_is(tmp_path: Path) -> None:
    for number in range(3):
        mr_study(tmp_path, number)
    seen: list[tuple[int, int]] = []
    read([tmp_path], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_slices_know_their_place_along_the_series(tmp_path: Path) -> None:
    for number in range(2):
        mr_study(tmp_path / f"study-{number}", number)
    support = read([tmp_path])
    assert support.series_places is not None
    assert support.series_places.tolist() == [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
    assert support.studies[1].series_places().tolist() == [0.0, 0.5, 1.0]
    one_each = read([tmp_path], images_per_study=1)
    assert one_each.series_places is not None
    assert one_each.series_places.tolist() == [0.5, 0.5]
    assert one_each.studies[1].series_places().tolist() == [0.0, 0.5, 1.0]


def test_places_along_a_series_count_only_where_every_image_has_one(tmp_path: Path) -> None:
    mr_study(tmp_path / "study", 1)
    picture(tmp_path / "normal.png", seed=1)
    assert read([tmp_path], pictures=True).series_places is None


def test_a_study_of_two_patients_is_left_out_with_the_reason(tmp_path: Path) -> None:
    for number in (1, 2):
        mr_study(tmp_path / f"study-{number}", number)
    mr_study(
        tmp_path / "other", 3, StudyInstanceUID=study_uid(2), PatientID="B", PatientName="Bravo^Bob"
    )
    support = read([tmp_path])
    assert support.k == 1
    assert {item.study for item in support.items} == {study_uid(1)}
    assert len(support.left_out) == 6
    (reason,) = {skipped.reason for skipped in support.left_out}
    assert reason.startswith("images of 2 patients under one Study Instance UID")
    assert "Bravo" not in reason


def test_a_study_whose_patient_has_a_new_id_is_one_study(tmp_path: Path) -> None:
    mr_study(tmp_path / "one", 1)
    mr_study(tmp_path / "two", 2, StudyInstanceUID=study_uid(1), PatientID="NEW")
    support = read([tmp_path], images_per_study=6)
    assert (support.k, len(support.items), support.left_out) == (1, 6, ())


def with_uids_of(paths: list[Path], others: list[Path]) -> None:
    for path, other in zip(paths, others, strict=True):
        dataset = dcmread(path)
        dataset.SOPInstanceUID = dcmread(other).SOPInstanceUID
        dataset.save_as(path)


def test_studies_that_an_anonymiser_numbers_alike_are_studies_of_their_own(tmp_path: Path) -> None:
    one, two = mr_study(tmp_path / "one", 1), mr_study(tmp_path / "two", 2)
    with_uids_of(two, one)
    support = read([tmp_path])
    assert (support.k, len(support.items), support.left_out) == (2, 6, ())


def test_a_series_under_the_uids_of_another_is_left_out_with_the_reason(tmp_path: Path) -> None:
    one = mr_study(tmp_path / "one", 1)
    two = mr_study(tmp_path / "two", 2, StudyInstanceUID=study_uid(1))
    with_uids_of(two, one)
    support = read([tmp_path])
    assert len(support.items) == 3
    assert {skipped.reason for skipped in support.left_out} == {
        "the SOP Instance UID of an image of another series of its study"
    }


def test_all_volumes_of_a_dynamic_series_are_normal_images(tmp_path: Path) -> None:
    for volume in range(2):
        for path in mr_study(tmp_path / str(volume), 10 + volume):
            dataset = dcmread(path)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid(1), f"{study_uid(1)}.1"
            dataset.FrameOfReferenceUID = f"{study_uid(1)}.2"
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{volume}"
            dataset.AcquisitionTime = f"1010{10 * volume:02d}"
            dataset.save_as(path)
    support = read([tmp_path], images_per_study=6)
    assert (support.k, len(support.items), support.left_out) == (1, 6, ())
    assert not support.studies[0].refused
