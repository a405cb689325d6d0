"""A window by name is one in Hounsfield units, and is refused where there are none."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from mediclip_dicom.imaging import (
    WINDOW_NAMES,
    Preparation,
    SourceImage,
    Window,
    iter_input_frames,
    missing_hounsfield,
    parse_window,
    read_headers,
)
from tests.factories import modalities, sources
from tests.factories.modalities import change


def images_of(*paths: Path) -> tuple[SourceImage, ...]:
    return read_headers(paths)[0]


def test_a_window_is_named_or_given_in_numbers() -> None:
    assert parse_window("Lung") == Window(center=-600, width=1500, name="lung")
    assert parse_window("-600,1500") == Window(center=-600, width=1500)
    assert str(parse_window("lung")) == "lung (-600,1500)"
    assert str(parse_window("40,80")) == "40,80"
    assert {"lung", "mediastinum", "bone", "brain", "liver"} <= {*WINDOW_NAMES}
    for name in WINDOW_NAMES:
        assert parse_window(name).name == name


@pytest.mark.parametrize("text", ["lungs", "40", "40,80,1", "a,b", "", "40,0.5"])
def test_what_is_no_window_is_refused_with_what_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no window: take a name|must be at least 1"):
        parse_window(text)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"RescaleType": "HU"}, None),
        ({"RescaleType": "US"}, "Rescale Type (0028,1054) is US"),
        ({"RescaleSlope": None}, "no Rescale Slope"),
        ({"Modality": "MR"}, "a MR image has no Hounsfield units"),
    ],
    ids=["CT", "HU", "unspecified", "no rescale", "MR"],
)
def test_hounsfield_units_are_those_of_a_rescaled_ct(
    tmp_path: Path, changes: dict[str, object], reason: str | None
) -> None:
    (path,) = modalities.ct_series(tmp_path, positions=(0,))
    change(path, **changes)
    found = missing_hounsfield(path)
    assert found == reason if reason is None else reason in (found or "")


def test_the_rescale_of_an_enhanced_ct_is_in_its_functional_groups(tmp_path: Path) -> None:
    path = modalities.enhanced_ct(tmp_path)
    dataset = dcmread(path)
    assert "RescaleSlope" not in dataset
    assert "RescaleType" not in dataset
    assert missing_hounsfield(path) == "Rescale Type (0028,1054) is US, not HU"
    for groups in (
        *dataset.get("SharedFunctionalGroupsSequence", ()),
        *dataset.PerFrameFunctionalGroupsSequence,
    ):
        for item in groups.get("PixelValueTransformationSequence", ()):
            item.RescaleType = "HU"
    dataset.save_as(path, enforce_file_format=True)
    assert missing_hounsfield(path) is None


def test_every_frame_without_hounsfield_units_is_left_out_with_the_reason(tmp_path: Path) -> None:
    preparation = Preparation("pad", (parse_window("lung"),))
    frames = list(
        iter_input_frames(
            images_of(sources.ultrasound(tmp_path, frames=3)), preparation=preparation
        )
    )
    assert [frame.frame for frame in frames] == [1, 2, 3]
    for frame in frames:
        assert frame.pixels is None
        assert frame.skipped is not None
        assert "no Hounsfield units for the task's window" in frame.skipped
        assert "lung" in frame.skipped


def test_each_window_is_a_view_of_its_own_in_the_order_given(tmp_path: Path) -> None:
    images = images_of(*modalities.ct_series(tmp_path, positions=(0, 2.5)))
    windows = (parse_window("bone"), parse_window("40,80"))
    alone = [
        [frame.pixels for frame in iter_input_frames(images, preparation=Preparation("pad", (w,)))]
        for w in windows
    ]
    both = list(iter_input_frames(images, preparation=Preparation("pad", windows)))
    assert len(both) == 2
    for number, frame in enumerate(both):
        assert frame.pixels is not None
        assert frame.pixels.shape == (2, 3, 224, 224)
        for view, single in zip(frame.pixels, alone, strict=True):
            pixels = single[number]
            assert pixels is not None
            assert (view == pixels[0]).all()
        assert np.abs(frame.pixels[0] - frame.pixels[1]).max() > 0.1


def test_a_window_twice_and_an_enlargement_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Preparation("pad", (parse_window("lung"), parse_window("lung")))
    with pytest.raises(ValueError, match="enlarged"):
        Preparation("pad", tiles=9)
