"""A header that contradicts itself or its series costs that image, and no other."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import find_contradictions, read_header
from tests.factories import modalities, sources

SKEWED = (1.0, 0.0, 0.0, 0.3, 0.95, 0.0)


def reasons(paths: list[Path]) -> dict[int, str]:
    """Reason by position in `paths` (or by frame, from 0, for a single file)."""
    headers = [read_header(path) for path in paths]
    found = find_contradictions(headers)
    if len(paths) == 1:
        return {frame - 1: reason for (_, frame), reason in found.items()}
    uids = [header.sop_instance_uid for header in headers]
    return {uids.index(uid): reason for (uid, _), reason in found.items()}


@pytest.mark.parametrize(
    "make",
    [
        lambda f: sources.mr_series(f, orientation=sources.OBLIQUE),
        lambda f: modalities.ct_series(f, tilt=20.0),
        lambda f: modalities.ct_series(f, positions=(0, 1, 7)),
        lambda f: [sources.enhanced_mr(f)],
        lambda f: [modalities.enhanced_ct(f)],
        lambda f: [sources.computed_radiograph(f, PixelSpacing=[0, 0])],
        lambda f: [sources.ultrasound(f, frames=3)],
        # A localizer: three planes of unlike grids in one series.
        lambda f: [
            *sources.mr_series(f, slices=2),
            *[
                modalities.change(path, SeriesInstanceUID=f"{sources.STUDY_UID}.1")
                for path in sources.mr_series(
                    f, slices=2, orientation=modalities.SAGITTAL, rows=32, series=9
                )
            ],
        ],
    ],
)
def test_what_is_merely_unusual_is_read(tmp_path: Path, make: Callable[[Path], list[Path]]) -> None:
    assert reasons(make(tmp_path)) == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImageOrientationPatient": list(SKEWED)}, "not unit vectors at right angles"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not unit vectors at right angles"),
        ({"PixelSpacing": [0, 1]}, "Pixel Spacing is not above zero"),
        ({"PixelSpacing": [-1, -1]}, "Pixel Spacing is not above zero"),
        ({"ImagePositionPatient": [1, 2]}, "Image Position (Patient) is not 3 numbers"),
        ({"Rows": 24, "Columns": 128}, "24 rows and 128 columns"),
    ],
)
def test_one_bad_slice_is_left_out_and_the_rest_is_read(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    paths = sources.mr_series(tmp_path)
    modalities.change(paths[2], **change)
    found = reasons(paths)
    assert list(found) == [2]
    assert reason in found[2]


def test_two_slices_at_one_place_are_both_left_out(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path)
    modalities.change(paths[1], ImagePositionPatient=dcmread(paths[3]).ImagePositionPatient)
    assert sorted(reasons(paths)) == [1, 3]


def test_echoes_at_one_place_are_read(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path)
    modalities.change(
        paths[1], ImagePositionPatient=dcmread(paths[3]).ImagePositionPatient, EchoTime=90
    )
    assert reasons(paths) == {}


def test_where_no_grid_is_that_of_most_slices_none_is_trusted(tmp_path: Path) -> None:
    paths = sources.mr_series(tmp_path, slices=4)
    for path in paths[2:]:
        modalities.change(path, Rows=64, Columns=48)
    assert sorted(reasons(paths)) == [0, 1, 2, 3]


def test_one_bad_frame_of_an_enhanced_image_is_left_out(tmp_path: Path) -> None:
    path = modalities.enhanced_ct(tmp_path)
    dataset = dcmread(path)
    modalities.with_plane(dataset, 1, ImageOrientationPatient=list(SKEWED))
    sources.write(dataset, path)
    assert list(reasons([path])) == [1]
