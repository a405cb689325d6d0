"""The folder as a source of studies: what it lists, shows and fetches."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mediclip_dicom.errors import SupportSetReadError
from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.tasks import FolderSource, Route, StudyEntry, StudySource
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
    source: StudySource = FolderSource((tmp_path,))
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
    source = FolderSource((tmp_path,))
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
