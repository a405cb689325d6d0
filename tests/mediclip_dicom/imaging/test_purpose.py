"""Images that only help an examination are known by their headers, and nothing else is."""

import dataclasses
from pathlib import Path

import pytest

from mediclip_dicom.imaging import ImageHeader, Plane, SupportKinds, not_examination, read_header
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


AXIAL_CT = SupportKinds(
    ("1.2.840.10008.5.1.4.1.1.2",), (("ORIGINAL", "PRIMARY"),), ((0.0, 0.0, 1.0),)
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_type": ("DERIVED", "SECONDARY", "MIP")}, "derived secondary image"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "Secondary Capture"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7.2"}, "Secondary Capture"),
        ({"planes": (Plane((0, 0, 0), (1, 0, 0, 0, 0, -1), (1, 1)),)}, "orientation"),
        ({"series_description": "Topogram  0.6  T80f"}, "localizer"),
    ],
)
def test_an_image_unlike_all_of_the_support_set_is_left_out_with_the_reason(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    some = headers(tmp_path, **change)
    found = not_examination(some, kinds=AXIAL_CT)
    assert list(found) == [some[0].sop_instance_uid]
    assert reason in found[some[0].sop_instance_uid]


@pytest.mark.parametrize(
    "change",
    [
        {"image_type": ("DERIVED", "PRIMARY", "AXIAL")},
        {"image_type": ("ORIGINAL", "SECONDARY", "AXIAL")},
        {"planes": (Plane((0, 0, 0), (1, 0, 0, 0, 0.9, 0.436), (1, 1)),)},
        {"planes": (Plane((0, 0, 0), (1, 0, 0, 0, -1, 0), (1, 1)),)},
        {"planes": (None,)},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2.1"},
    ],
)
def test_an_image_that_is_merely_not_the_same_is_part_of_the_examination(
    tmp_path: Path, change: dict[str, object]
) -> None:
    assert not_examination(headers(tmp_path, **change), kinds=AXIAL_CT) == {}


def test_kinds_of_the_support_set_are_no_reason_and_come_back_from_their_row(
    tmp_path: Path,
) -> None:
    slices = headers(tmp_path, image_type=("DERIVED", "SECONDARY", "MPR"))
    capture = read_header(modalities.secondary_capture(tmp_path))
    kinds = SupportKinds.of([*slices, capture])
    assert SupportKinds.from_dict(kinds.to_dict()) == kinds
    assert not_examination([*slices, capture], kinds=kinds) == {}
    assert not_examination([*slices, capture]) == {
        capture.sop_instance_uid: "Secondary Capture among slices"
    }


def test_a_support_set_of_pictures_excludes_nothing(tmp_path: Path) -> None:
    some = headers(tmp_path, image_type=("DERIVED", "SECONDARY", "MPR"))
    assert not_examination(some, kinds=SupportKinds.of([])) == {}
