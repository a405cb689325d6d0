"""`demo --data`: the user's own files become studies that a PACS can hold, or are told why not."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from mediclip_dicom.cli.demo.errors import DemoDataError
from mediclip_dicom.cli.demo.own_data import read_own_data
from mediclip_dicom.imaging import iter_frames
from tests.factories.studies import mr_study, study_uid

LEFT_HALF = np.zeros((40, 60), dtype=np.uint8)
LEFT_HALF[:, :30] = 200


def put(data: Path, label: str, name: str, pixels: np.ndarray = LEFT_HALF) -> Path:
    folder = data / label
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for number in range(3):
        put(data, "normal", f"SMITH^{number}.png", LEFT_HALF + np.uint8(number))
    put(data, "abnormal", "JONES.jpg", LEFT_HALF.T.copy())
    return data


def test_a_picture_becomes_a_study_that_looks_the_same(pictures: Path, tmp_path: Path) -> None:
    department = read_own_data(pictures, tmp_path / "made", seed=0)
    assert (department.task, department.modality) == ("own-ot", "OT")
    assert [len(department.of("normal")), len(department.of("abnormal"))] == [3, 1]
    assert len({study.study_instance_uid for study in department.studies}) == 4
    (path,) = department.of("normal")[0].paths
    (frame,) = iter_frames(path)
    assert frame.rgb.shape == (40, 60, 3)
    assert frame.rgb[:, :30].min() * 255 >= 200
    assert frame.rgb[:, 30:].max() * 255 <= 2


def test_colour_stays(tmp_path: Path) -> None:
    red = np.zeros((20, 31, 3), dtype=np.uint8)
    red[..., 0] = 250
    put(tmp_path, "normal", "red.png", red)
    put(tmp_path, "abnormal", "grey.png")
    department = read_own_data(tmp_path, tmp_path / "made", seed=0)
    (frame,) = iter_frames(department.of("normal")[0].paths[0])
    np.testing.assert_array_equal(np.rint(frame.rgb * 255), red)


def test_no_object_is_named_after_a_file(pictures: Path, tmp_path: Path) -> None:
    for study in read_own_data(pictures, tmp_path / "made", seed=0).studies:
        text = str(dcmread(study.paths[0]))
        assert "SMITH" not in text
        assert "JONES" not in text


def test_the_same_picture_twice_is_one_study(pictures: Path, tmp_path: Path) -> None:
    put(pictures, "normal", "copy.png")
    department = read_own_data(pictures, tmp_path / "made", seed=0)
    assert len(department.of("normal")) == 3


def test_the_seed_draws_which_studies_make_the_support_set(tmp_path: Path) -> None:
    for number in range(12):
        put(tmp_path, "normal", f"{number}.png", LEFT_HALF + np.uint8(number))
    put(tmp_path, "abnormal", "a.png", LEFT_HALF.T.copy())

    def orders(seed: int) -> list[bytes]:
        found = read_own_data(tmp_path, tmp_path / "made", seed=seed)
        return [dcmread(study.paths[0]).PixelData[:1] for study in found.of("normal")]

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_dicom_studies_are_used_where_they_lie(tmp_path: Path) -> None:
    normal = mr_study(tmp_path / "normal", 1)
    mr_study(tmp_path / "abnormal", 2, lesion=True)
    department = read_own_data(tmp_path, tmp_path / "made", seed=0)
    assert department.modality == "MR"
    (study,) = department.of("normal")
    assert study.study_instance_uid == study_uid(1)
    assert sorted(study.paths) == sorted(normal)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    put(tmp_path, "normal", "a.png")
    with pytest.raises(DemoDataError, match=r"there is no folder .*abnormal"):
        read_own_data(tmp_path, tmp_path / "made", seed=0)


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    put(tmp_path, "normal", "a.png")
    (tmp_path / "abnormal").mkdir()
    (tmp_path / "abnormal" / "readme.txt").write_text("no image")
    with pytest.raises(DemoDataError, match="abnormal holds no DICOM image and no picture"):
        read_own_data(tmp_path, tmp_path / "made", seed=0)


def test_a_broken_picture_is_named(pictures: Path, tmp_path: Path) -> None:
    (pictures / "normal" / "broken.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DemoDataError, match=r"broken\.png can't be read"):
        read_own_data(pictures, tmp_path / "made", seed=0)


def test_a_study_cannot_be_normal_and_abnormal(pictures: Path, tmp_path: Path) -> None:
    put(pictures, "abnormal", "same.png")
    with pytest.raises(DemoDataError, match="1 studies are in normal/ and in abnormal/"):
        read_own_data(pictures, tmp_path / "made", seed=0)


def test_studies_of_different_modalities_are_told(tmp_path: Path) -> None:
    mr_study(tmp_path / "normal", 1)
    put(tmp_path, "abnormal", "a.png")
    with pytest.raises(DemoDataError, match=r"no modality in common .*MR.*OT"):
        read_own_data(tmp_path, tmp_path / "made", seed=0)
