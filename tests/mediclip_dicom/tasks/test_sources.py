"""The folder as a source of studies: what it lists, shows and fetches."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mediclip_dicom.errors import SupportSetReadError, UndecodableFrameError
from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.tasks import (
    FolderSource,
    Route,
    StudyEntry,
    StudySearch,
    StudySource,
    explain_files,
    read_images,
)
from mediclip_dicom.tasks.sources import LOOSE_PICTURE
from tests.factories import sources
from tests.factories.studies import mr_study, study_uid

MR = Route("MR")


def picture(path: Path) -> Path:
    Image.fromarray(np.full((40, 30), 200, dtype=np.uint8)).save(path)
    return path


def test_a_folder_lists_the_studies_that_a_route_matches_and_names_the_rest(tmp_path: Path) -> None:
    for number in (2, 1):
        mr_study(tmp_path / f"study-{number}", number)
    sources.computed_radiograph(tmp_path)
    drawn = picture(tmp_path / "normal.png")
    (tmp_path / "readme.txt").write_text("normal studies")
    source: StudySource = FolderSource((tmp_path,), pictures=True)
    found = source.search(MR)
    assert found.studies == (
        StudyEntry(study_uid(1), "MR", 3),
        StudyEntry(study_uid(2), "MR", 3),
        StudyEntry(str(drawn), "", 1),
    )
    assert [(skipped.path.name, skipped.reason) for skipped in found.left_out] == [
        ("readme.txt", "neither DICOM nor a picture"),
        ("cr-2.dcm", "the task reads MR"),
    ]
    assert found.files == 9


def test_a_study_of_a_folder_is_fetched_in_reading_order_from_its_place(tmp_path: Path) -> None:
    paths = mr_study(tmp_path, 1)
    source = FolderSource((tmp_path,))
    (study,) = source.search(MR).studies
    files = source.fetch(study)
    assert [image.path for image in files.images] == paths
    assert files.picture is None


def test_a_preview_is_the_middle_image_as_it_is_displayed(tmp_path: Path) -> None:
    paths = mr_study(tmp_path / "dicom", 1)
    (tmp_path / "pictures").mkdir()
    picture(tmp_path / "pictures" / "normal.png")
    source = FolderSource((tmp_path,), pictures=True)
    study, drawn = source.search(MR).studies
    (expected,) = iter_frames(paths[1])
    np.testing.assert_array_equal(source.preview(study), expected.rgb)
    assert source.preview(drawn).shape == (40, 30, 3)


def test_a_preview_of_a_broken_picture_says_which(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    source = FolderSource((tmp_path,))
    (study,) = source.search(MR).studies
    with pytest.raises(SupportSetReadError, match=r"broken\.png can't be read as a picture"):
        source.preview(study)


def reasons(found: StudySearch) -> dict[str, str]:
    return {skipped.path.name: skipped.reason for skipped in found.left_out}


def test_the_logos_of_a_cd_are_no_studies(tmp_path: Path) -> None:
    """A folder of DICOM with a logo next to it, as a CD has it."""
    mr_study(tmp_path / "DICOM", 1)
    picture(tmp_path / "LOGO.PNG")
    picture(tmp_path / "splash.jpg")
    (tmp_path / "AUTORUN.INF").write_text("[autorun]")
    (tmp_path / "ZERO.DCM").write_bytes(b"")
    (tmp_path / "broken-link").symlink_to("/nowhere/at/all")
    (tmp_path / "DICOM" / "loop").symlink_to(tmp_path)
    found = FolderSource((tmp_path,)).search(MR)
    assert found.studies == (StudyEntry(study_uid(1), "MR", 3),)
    assert reasons(found) == {
        "LOGO.PNG": LOOSE_PICTURE,
        "splash.jpg": LOOSE_PICTURE,
        "AUTORUN.INF": "neither DICOM nor a picture",
        "ZERO.DCM": "an empty file",
    }
    asked = FolderSource((tmp_path,), pictures=True).search(MR)
    assert [study.images for study in asked.studies] == [3, 1, 1]


def test_pictures_in_another_path_than_the_dicom_are_left_out_too(tmp_path: Path) -> None:
    mr_study(tmp_path / "dicom", 1)
    logo = picture(tmp_path / "logo.png")
    found = FolderSource((logo, tmp_path / "dicom")).search(MR)
    assert len(found.studies) == 1
    assert reasons(found) == {"logo.png": LOOSE_PICTURE}


@pytest.mark.parametrize("pictures", [False, True])
@pytest.mark.parametrize(
    ("route", "hint"),
    [
        (Route("MR", series_description="*FLAIR*"), "3 would match without the series description"),
        (Route("MR", body_part="KNEE"), "3 would match without the body part"),
        (Route("MR", view="PA"), "3 would match without the view"),
        (Route("CT"), "their modalities are MR"),
    ],
)
def test_a_route_that_matches_none_of_the_images_is_an_error(
    tmp_path: Path, route: Route, hint: str, pictures: bool
) -> None:
    mr_study(tmp_path, 1)
    picture(tmp_path / "LOGO.PNG")
    with pytest.raises(SupportSetReadError, match="none of 3 DICOM images") as caught:
        FolderSource((tmp_path,), pictures=pictures).search(route)
    assert str(route) in str(caught.value)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
)
@pytest.mark.parametrize("meta", [False, True], ids=["bare", "with file meta"])
def test_data_sets_without_preamble_are_read_like_others(
    tmp_path: Path, syntax: UID, meta: bool
) -> None:
    paths = mr_study(tmp_path / "whole", 1)
    shown = [next(iter_frames(path)).rgb for path in paths]
    (tmp_path / "bare").mkdir()
    for path in paths:
        without_preamble(path, tmp_path / "bare" / path.stem, syntax=syntax, meta=meta)
    (tmp_path / "bare" / "README").write_text("normal studies of the year 2003\n" * 20)
    source = FolderSource((tmp_path / "bare",))
    found = source.search(MR)
    assert found.studies == (StudyEntry(study_uid(1), "MR", 3),)
    assert reasons(found) == {"README": "neither DICOM nor a picture"}
    for image, expected in zip(source.fetch(found.studies[0]).images, shown, strict=True):
        assert image.header.transfer_syntax_uid == syntax
        np.testing.assert_array_equal(next(iter_frames(image.path)).rgb, expected)


def test_a_compressed_data_set_without_preamble_is_no_dark_picture(tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("MR_small_RLE.dcm", download=False)))
    dataset = dcmread(path)
    bare = tmp_path / "bare"
    with bare.open("wb") as file:
        buffer = DicomFileLike(file)
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, dataset)
    assert len(read_images([bare])) == 1
    with pytest.raises(UndecodableFrameError):
        next(iter_frames(bare))


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".zip", "zip"),
        (".tar", "tar"),
        (".tar.gz", "gzip"),
        (".tar.xz", "xz"),
        (".iso", "ISO 9660"),
    ],
)
def test_an_archive_is_named_with_what_to_do(tmp_path: Path, suffix: str, kind: str) -> None:
    mr_study(tmp_path / "study", 1)
    archive = tmp_path / f"studies{suffix}"
    if suffix == ".iso":
        archive.write_bytes(bytes(0x8001) + b"CD001" + bytes(2000))
    elif suffix == ".zip":
        shutil.make_archive(str(tmp_path / "studies"), "zip", tmp_path / "study")
    else:
        formats = {".tar": "tar", ".tar.gz": "gztar", ".tar.xz": "xztar"}
        shutil.make_archive(str(tmp_path / "studies"), formats[suffix], tmp_path / "study")
    found = FolderSource((archive,)).search(MR)
    assert found.studies == ()
    assert reasons(found) == {archive.name: f"{kind} archive: unpack it and name the folder"}
    assert [skipped.reason for skipped in explain_files([archive])] == list(reasons(found).values())


def without_preamble(path: Path, target: Path, *, syntax: UID, meta: bool) -> None:
    """Write a data set without preamble, and without file meta information if not asked for."""
    dataset = dcmread(path)
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").byteswap().tobytes()
    with target.open("wb") as file:
        if meta:
            dataset.file_meta.TransferSyntaxUID = syntax
            write_file_meta_info(DicomFileLike(file), dataset.file_meta, enforce_standard=False)
        buffer = DicomFileLike(file)
        buffer.is_little_endian = syntax.is_little_endian
        buffer.is_implicit_VR = syntax.is_implicit_VR
        bare = Dataset(dict(dataset.items()))
        for element in dataset:
            bare[element.tag] = element
        write_dataset(buffer, bare)
