"""Places along a series come from Image Position, never from names, numbers or order of files."""

import random
from pathlib import Path

import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import ImageHeader, read_headers, series_places
from tests.factories import sources
from tests.factories.modalities import change, digital_radiograph, enhanced_ct


def headers(paths: list[Path]) -> list[ImageHeader]:
    return [image.header for image in read_headers(paths)[0]]


def places_by_path(paths: list[Path]) -> list[float | None]:
    found = series_places(headers(paths))
    return [found.get((str(dcmread(path).SOPInstanceUID), 1)) for path in paths]


@pytest.mark.parametrize("orientation", [sources.OBLIQUE, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)])
def test_the_first_position_is_0_the_last_1_whatever_the_order(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    paths = sources.mr_series(tmp_path, slices=5, orientation=orientation)
    for number, path in enumerate(reversed(paths), start=1):
        change(path, InstanceNumber=number)
    shuffled = random.Random(0).sample(headers(paths), 5)
    assert series_places(shuffled) == series_places(headers(paths))
    assert places_by_path(paths) == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_a_place_counts_millimetres_and_not_slices(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=5, orientation=(1.0, 0, 0, 0, 1.0, 0))
    kept = [paths[0], paths[1], paths[4]]
    assert places_by_path(kept) == pytest.approx([0, 0.25, 1])


def test_rows_that_run_the_other_way_give_the_same_places(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=3, orientation=(1.0, 0, 0, 0, 1.0, 0))
    expected = places_by_path(paths)
    for path in paths:
        change(path, ImageOrientationPatient=[-1.0, 0, 0, 0, 1.0, 0])
    assert places_by_path(paths) == pytest.approx(expected)


def test_orientations_that_headers_round_are_one_stack(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=3, orientation=(1.0, 0, 0, 0, 1.0, 0))
    change(paths[1], ImageOrientationPatient=[0.99999, 0.00447, 0, -0.00447, 0.99999, 0])
    assert places_by_path(paths) == pytest.approx([0, 0.5, 1], abs=1e-3)


def test_series_have_places_of_their_own(tmp_path: Path) -> None:
    long = sources.mr_series(tmp_path, slices=5, series=1)
    short = sources.mr_series(tmp_path, slices=2, series=2)
    assert places_by_path([*long, *short])[5:] == pytest.approx([0, 1])


def test_every_frame_of_an_enhanced_image_has_a_place(tmp_path: Path) -> None:
    (header,) = headers([enhanced_ct(tmp_path, frames=4)])
    found = series_places([header])
    assert [found[header.sop_instance_uid, n] for n in (1, 2, 3, 4)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )


def test_an_image_alone_and_one_without_a_plane_have_no_place(tmp_path: Path) -> None:
    (alone,) = sources.mr_series(tmp_path, slices=1)
    assert places_by_path([alone, digital_radiograph(tmp_path)]) == [None, None]


def test_slices_of_equal_position_have_no_place(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=2)
    change(paths[1], ImagePositionPatient=list(dcmread(paths[0]).ImagePositionPatient))
    assert places_by_path(paths) == [None, None]


def test_a_localizer_moves_no_place(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=4, orientation=(1.0, 0, 0, 0, 1.0, 0))
    change(paths[3], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    assert places_by_path(paths) == [pytest.approx(0), pytest.approx(0.5), pytest.approx(1), None]
