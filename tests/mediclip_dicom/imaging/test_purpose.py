"""Images that only help an examination are known by their headers, and nothing else is."""

import dataclasses
from pathlib import Path

import pytest

from mediclip_dicom.imaging import ImageHeader, not_examination, read_header
from tests.factories import modalities, sources


def headers(folder: Path, **changes: object) -> list[ImageHeader]:
    """Four slices, the first of them changed."""
    found = [read_header(path) for path in modalities.ct_series(folder)]
    return [dataclasses.replace(found[0], **changes), *found[1:]]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image_type", "reason"),
    [
        (("ORIGINAL", "PRIMARY", "LOCALIZER"), "localizer"),
        (("DERIVED", "SECONDARY", "SCREEN SAVE"), "screen save"),
        (("DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT", "DOSE_INFO"), "dose report"),
    ],
)
def test_an_image_says_by_its_type_that_it_is_no_part_of_the_examination(
    tmp_path: Path, image_type: tuple[str, ...], reason: str
) -> None:
    some = headers(tmp_path, image_type=image_type)
    assert not_examination(some) == {some[0].sop_instance_uid: reason}


def test_axial_slices_and_images_without_a_type_are_part_of_it(tmp_path: Path) -> None:
    assert not_examination(headers(tmp_path)) == {}
    assert not_examination(headers(tmp_path, image_type=())) == {}


def test_a_secondary_capture_of_a_dose_report_is_known_by_its_description(tmp_path: Path) -> None:
    (capture,) = [read_header(modalities.secondary_capture(tmp_path))]
    report = dataclasses.replace(
        capture, sop_instance_uid="1.2.3", series_description="Dose Report"
    )
    assert not_examination([capture, report]) == {"1.2.3": "dose report"}
    slices = [read_header(path) for path in sources.mr_series(tmp_path)]
    named = dataclasses.replace(slices[0], series_description="Dose Report")
    assert not_examination([named, *slices[1:]]) == {}


def test_a_study_of_localizers_only_is_read(tmp_path: Path) -> None:
    some = headers(tmp_path, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    assert not_examination(some[:1]) == {}
