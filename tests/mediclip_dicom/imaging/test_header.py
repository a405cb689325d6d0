"""What is known of an image before a pixel is read, and what is no image at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from mediclip_dicom.errors import UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging import read_header
from tests.factories import sources

Example = Callable[[str], Path]


def test_the_header_of_an_mr_slice(tmp_path: Path) -> None:
    header = read_header(sources.mr_series(tmp_path)[2])
    assert header.modality == "MR"
    assert header.body_part == "BRAIN"
    assert (header.rows, header.columns, header.number_of_frames) == (48, 64, 1)
    assert header.pixel_spacing == (1.5, 1.25)
    assert header.pixel_aspect == pytest.approx(1.2)
    assert header.image_position == (-40, -30, 18)
    assert header.image_orientation == sources.AXIAL
    assert header.instance_number == 3
    assert header.image_type == ("ORIGINAL", "PRIMARY", "OTHER")


def test_a_radiograph_without_frame_of_reference_has_the_detectors_spacing(tmp_path: Path) -> None:
    header = read_header(sources.computed_radiograph(tmp_path))
    assert header.frame_of_reference_uid is None
    assert header.image_position is None
    assert header.pixel_spacing == (0.2, 0.2)
    assert header.view_position == "PA"


def test_an_enhanced_image_tells_its_place_from_its_functional_groups(tmp_path: Path) -> None:
    header = read_header(sources.enhanced_mr(tmp_path))
    assert header.number_of_frames == 4
    assert header.pixel_spacing == (2, 1)
    assert header.image_position == (-20, -10, 0)
    assert header.image_orientation == sources.AXIAL


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("liver_1frame.dcm", UnsupportedReason.NOT_AN_IMAGE),
        ("parametric_map_float.dcm", UnsupportedReason.NOT_AN_IMAGE),
        ("rtdose.dcm", UnsupportedReason.NOT_AN_IMAGE),
        ("test-SR.dcm", UnsupportedReason.NO_PIXEL_DATA),
        ("rtplan.dcm", UnsupportedReason.NO_PIXEL_DATA),
        ("no_meta.dcm", UnsupportedReason.NOT_DICOM),
        ("meta_missing_tsyntax.dcm", UnsupportedReason.MALFORMED_HEADER),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(
    name: str, reason: UnsupportedReason, example: Example
) -> None:
    with pytest.raises(UnsupportedImageError) as caught:
        read_header(example(name))
    assert caught.value.reason is reason


def test_what_the_node_itself_contributed_to_is_refused(tmp_path: Path) -> None:
    item = Dataset()
    item.DeviceUID = "2.25.7"
    path = sources.computed_radiograph(tmp_path, ContributingEquipmentSequence=[item])
    assert read_header(path, own_device_uid="2.25.8").contributing_device_uids == ("2.25.7",)
    with pytest.raises(UnsupportedImageError) as caught:
        read_header(path, own_device_uid="2.25.7")
    assert caught.value.reason is UnsupportedReason.OWN_RESULT


def test_a_text_file_is_not_dicom(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing to see " * 20)
    with pytest.raises(UnsupportedImageError) as caught:
        read_header(path)
    assert caught.value.reason is UnsupportedReason.NOT_DICOM


def test_a_header_with_a_broken_value_is_refused_without_quoting_it(tmp_path: Path) -> None:
    path = sources.computed_radiograph(tmp_path, Columns=0)
    with pytest.raises(UnsupportedImageError, match="Columns") as caught:
        read_header(path)
    assert "TEST-1" not in str(caught.value)


def test_a_sequence_without_end_is_a_malformed_header_and_no_failure_of_the_disk(
    tmp_path: Path,
) -> None:
    """One flipped byte in a length is enough, and must not stop the study that it is part of."""
    path = sources.mr_series(tmp_path)[0]
    whole = path.read_bytes()
    start = whole.index(b"\x08\x00\x60\x00CS")
    path.write_bytes(whole[:start] + b"\x08\x00\x60\x00SQ\x00\x00\xff\xff\xff\xff")
    with pytest.raises(UnsupportedImageError) as caught:
        read_header(path)
    assert caught.value.reason is UnsupportedReason.MALFORMED_HEADER


def test_a_file_that_is_not_there_is_a_failure_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone.dcm")
