"""The picture of the demonstration shows image, map, bands and truth where they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mediclip_dicom.cli.demo.overview import (
    LAYOUT,
    OverviewRow,
    draw_overview,
)

SIDE = LAYOUT.tile  # pixels of the source; a tile shows each of them once


def row(*, verdict: str, lesion: bool) -> OverviewRow:
    grey = np.full((SIDE, SIDE, 3), 0.4, dtype=np.float32)
    anomaly_map = np.full((SIDE, SIDE), 0.1, dtype=np.float32)
    truth = np.zeros((SIDE, SIDE), dtype=np.bool_)
    if lesion:
        anomaly_map[10:40, 60:90] = 0.9
        truth[10:40, 60:90] = True
    return OverviewRow(
        name="study",
        label="abnormal" if lesion else "normal",
        image=grey,
        map=anomaly_map,
        truth=truth if lesion else None,
        verdict=verdict,
        score=0.9 if lesion else 0.1,
        operating_point=0.5,
    )


def tiles(path: Path, number: int) -> list[np.ndarray]:
    """The four tiles of a row, cut to the source's own pixels."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    places = [LAYOUT.place(row=number, column=column) for column in range(4)]
    return [pixels[top : top + SIDE, left : left + SIDE] for left, top in places]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rows = [
        row(verdict="abnormal", lesion=True),
        row(verdict="normal", lesion=True),
        row(verdict="normal", lesion=False),
    ]
    draw_overview(rows, tmp_path / "overview.png", caption="backbone: a test")
    return tmp_path / "overview.png"


def coloured(tile: np.ndarray) -> np.ndarray:
    changed: np.ndarray = np.abs(tile - round(0.4 * 255)).max(axis=2) > 10
    return changed


def test_bands_and_truth_lie_where_the_lesion_is(picture: Path) -> None:
    image, _, marked, truth = tiles(picture, 0)
    expected = np.zeros((SIDE, SIDE), dtype=bool)
    expected[10:40, 60:90] = True
    assert not coloured(image).any()
    np.testing.assert_array_equal(coloured(marked), expected)
    np.testing.assert_array_equal(coloured(truth), expected)


def test_a_missed_lesion_is_shown_as_truth_and_not_as_found(picture: Path) -> None:
    _, _, marked, truth = tiles(picture, 1)
    assert not coloured(marked).any()
    assert coloured(truth).sum() == 900


def test_the_map_is_brightest_at_the_lesion(picture: Path) -> None:
    _, heat, _, _ = tiles(picture, 0)
    assert heat[20, 70, 0] > 200 > heat[80, 20, 0]


def test_a_normal_study_shows_no_truth(picture: Path) -> None:
    _, _, marked, truth = tiles(picture, 2)
    assert not coloured(marked).any()
    assert not coloured(truth).any()


def test_the_first_finding_is_written_at_the_row(tmp_path: Path) -> None:
    plain = row(verdict="abnormal", lesion=True)
    found = replace(plain, finding="32 cm3, slices 5-9")
    for name, one in (("plain", plain), ("found", found)):
        draw_overview([one], tmp_path / f"{name}.png", caption="backbone: a test")
    left, top = LAYOUT.place(row=0, column=0)
    labels = []
    for name in ("plain", "found"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            labels.append(np.asarray(picture.convert("L"))[top : top + SIDE, : left - 4])
    assert (labels[1] > 150).sum() > (labels[0] > 150).sum() + 50
