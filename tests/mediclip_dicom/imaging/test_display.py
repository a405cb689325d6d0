"""Stored values become what a radiologist would see."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from mediclip_dicom.errors import UndecodableFrameError
from mediclip_dicom.imaging import Window, iter_frames
from tests.factories import sources

STORED = np.array([[0, 100, 250], [400, 500, 4095]], dtype=np.uint16)


def shown(
    folder: Path,
    stored: npt.NDArray[np.generic],
    window: Window | None = None,
    **attributes: object,
) -> np.ndarray:
    """The first channel of a small CR with these stored values and attributes."""
    defaults: dict[str, Any] = {
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "PixelData": stored.tobytes(),
        "WindowCenter": None,
        "WindowWidth": None,
    }
    path = sources.computed_radiograph(
        folder, rows=stored.shape[0], columns=stored.shape[1], **(defaults | attributes)
    )
    (frame,) = iter_frames(path, window=window)
    assert frame.number == 1
    assert frame.rgb.dtype == np.float32
    assert (frame.rgb[..., 0] == frame.rgb[..., 2]).all()
    return frame.rgb[..., 0]


def lut(entries: list[int], *, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1 in one line, for an output of 0 to 1."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def test_a_linear_window_follows_the_standards_formula(tmp_path: Path) -> None:
    found = shown(tmp_path, STORED, WindowCenter=250, WindowWidth=300)
    assert np.allclose(found, linear(STORED.astype(float), 250, 300), atol=1e-6)


def test_the_first_of_several_windows_is_used(tmp_path: Path) -> None:
    found = shown(tmp_path, STORED, WindowCenter=[250, 40], WindowWidth=[300, 80])
    assert np.allclose(found, linear(STORED.astype(float), 250, 300), atol=1e-6)


def test_linear_exact_and_sigmoid_follow_their_own_formulas(tmp_path: Path) -> None:
    values = STORED.astype(float)
    window: dict[str, Any] = {"WindowCenter": 250, "WindowWidth": 300}
    exact = shown(tmp_path, STORED, VOILUTFunction="LINEAR_EXACT", **window)
    assert np.allclose(exact, np.clip((values - 250) / 300 + 0.5, 0, 1), atol=1e-6)
    sigmoid = shown(tmp_path, STORED, VOILUTFunction="SIGMOID", **window)
    assert np.allclose(sigmoid, 1 / (1 + np.exp(-4 * (values - 250) / 300)), atol=1e-6)


def test_a_rescale_comes_before_the_window(tmp_path: Path) -> None:
    found = shown(
        tmp_path, STORED, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=300, WindowWidth=600
    )
    assert np.allclose(found, linear(STORED * 2.0 - 100, 300, 600), atol=1e-6)


def test_a_tasks_window_in_modality_units_replaces_the_headers(tmp_path: Path) -> None:
    found = shown(
        tmp_path,
        STORED,
        Window(center=0, width=400),
        RescaleSlope=1,
        RescaleIntercept=-250,
        WindowCenter=9,
        WindowWidth=9,
    )
    assert np.allclose(found, linear(STORED - 250.0, 0, 400), atol=1e-6)


def test_signed_values_keep_their_sign(tmp_path: Path) -> None:
    stored = np.array([[-1000, -200, 0], [40, 200, 1500]], dtype=np.int16)
    found = shown(tmp_path, stored, BitsStored=16, HighBit=15, WindowCenter=0, WindowWidth=400)
    assert np.allclose(found, linear(stored.astype(float), 0, 400), atol=1e-6)


def test_monochrome1_is_inverted_after_the_window(tmp_path: Path) -> None:
    window: dict[str, Any] = {"WindowCenter": 250, "WindowWidth": 300}
    found = shown(tmp_path, STORED, PhotometricInterpretation="MONOCHROME1", **window)
    assert np.allclose(found, 1 - linear(STORED.astype(float), 250, 300), atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_stretch_the_contrast(
    tmp_path: Path, photometric: str
) -> None:
    stored = np.full((20, 20), 4000, dtype=np.uint16)
    stored[5:15, 5:15] = np.arange(100).reshape(10, 10) + 100
    found = shown(tmp_path, stored, PhotometricInterpretation=photometric, PixelPaddingValue=4000)
    assert (found[:5] == 0).all()
    inside = found[5:15, 5:15]
    assert inside.max() > 0.99
    assert inside.min() < 0.01
    assert (inside[0, 5] < inside[9, 5]) == (photometric == "MONOCHROME2")


def test_a_range_of_padding_values_is_background(tmp_path: Path) -> None:
    stored = np.array([[10, 20, 30], [500, 600, 700]], dtype=np.uint16)
    found = shown(
        tmp_path,
        stored,
        PixelPaddingValue=30,
        PixelPaddingRangeLimit=10,
        WindowCenter=0,
        WindowWidth=2,
    )
    assert (found == [[0, 0, 0], [1, 1, 1]]).all()


def test_a_voi_lut_is_looked_up_and_its_ends_hold_beyond_it(tmp_path: Path) -> None:
    found = shown(tmp_path, STORED, VOILUTSequence=lut([0, 512, 1023], first=249, bits=10))
    assert np.allclose(found, np.array([[0, 0, 512], [1023, 1023, 1023]]) / 1023, atol=1e-6)


def test_an_8_bit_voi_lut_may_have_more_than_256_entries(tmp_path: Path) -> None:
    entries = [number * 255 // 999 for number in range(1000)]
    stored = np.array([[0, 300, 600, 999]], dtype=np.uint16)
    found = shown(tmp_path, stored, VOILUTSequence=lut(entries, first=0, bits=8))
    assert np.allclose(found, np.array([[0, 76, 153, 255]]) / 255, atol=1e-6)


def test_a_modality_lut_comes_before_the_window(tmp_path: Path) -> None:
    stored = np.array([[0, 1, 2]], dtype=np.uint16)
    found = shown(
        tmp_path,
        stored,
        ModalityLUTSequence=lut([100, 300, 200], first=0, bits=16),
        WindowCenter=200,
        WindowWidth=201,
    )
    assert np.allclose(found, linear(np.array([[100.0, 300, 200]]), 200, 201), atol=1e-6)


def test_without_a_window_one_hot_pixel_does_not_darken_the_image(tmp_path: Path) -> None:
    stored = np.tile(np.arange(100, dtype=np.uint16) * 10, (40, 1))
    stored[0, 0] = 4095
    found = shown(tmp_path, stored)
    assert found[20, 90] > 0.85
    assert found[0, 0] == 1


def test_a_window_of_no_width_is_as_good_as_none(tmp_path: Path) -> None:
    stored = np.tile(np.arange(100, dtype=np.uint16) * 10, (40, 1))
    found = shown(tmp_path, stored, WindowCenter=0, WindowWidth=0)
    assert (found == shown(tmp_path, stored)).all()


def test_a_flat_image_without_a_window_is_black_and_not_an_error(tmp_path: Path) -> None:
    assert (shown(tmp_path, np.full((4, 4), 7, dtype=np.uint16)) == 0).all()


def test_a_windows_width_must_be_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Window(center=40, width=0)


def test_truncated_pixel_data_is_an_error_and_never_zeros(tmp_path: Path) -> None:
    path = sources.computed_radiograph(tmp_path, PixelData=b"\0" * 100)
    with pytest.raises(UndecodableFrameError, match="frame 1") as caught:
        list(iter_frames(path))
    assert "Test" not in str(caught.value)
