"""Boxes, and the windows of pixels around them."""

import math

import pytest
import torch

from ai_core.synthesis.boxes import cut, make_box, offsets, transform, window_around


def test_unit_coordinates_are_1_at_the_end_of_each_axis() -> None:
    angle = 0.4
    box = make_box(20, 10, angle=angle).at(50, 60)
    window = window_around(box, margin=2, height=128, width=128)
    rows, columns = offsets([box], [window], torch.device("cpu"))
    first, second = transform([box.matrix], rows, columns)
    end = (round(50 + 20 * math.cos(angle)) - window.top, round(60 + 20 * math.sin(angle)))
    at = (0, end[0], end[1] - window.left)
    assert float(first[at]) == pytest.approx(1, abs=0.05)
    assert float(second[at]) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("shear", [(0.0, 0.0), (0.3, -0.2)])
def test_the_extent_is_that_of_the_turned_box(shear: tuple[float, float]) -> None:
    box = make_box(20, 10, angle=0.7, shear=shear).at(100, 100)
    places = torch.arange(200, dtype=torch.float32)
    rows, columns = (places - 100)[None, :, None], (places - 100)[None, None, :]
    first, second = transform([box.matrix], rows, columns)
    inside = (torch.maximum(first.abs(), second.abs()) <= 1)[0].nonzero()
    reach = (inside - 100).abs().amax(0).tolist()
    assert reach == pytest.approx(box.extent, abs=1.5)


def test_a_box_beyond_its_limit_is_made_smaller_and_keeps_its_form() -> None:
    free = make_box(40, 20, angle=0.5)
    held = make_box(40, 20, angle=0.5, limit=(30.0, 30.0))
    assert max(held.extent) == pytest.approx(30)
    assert held.extent[0] / held.extent[1] == pytest.approx(free.extent[0] / free.extent[1])
    assert make_box(4, 2, angle=0.5, limit=(30.0, 30.0)) == make_box(4, 2, angle=0.5)


@pytest.mark.parametrize("place", [(2.0, 3.0), (50.0, 60.0), (95.0, 119.0)])
def test_a_window_lies_in_the_image_and_holds_what_of_the_box_does(
    place: tuple[float, float],
) -> None:
    box = make_box(12, 9, angle=1.0).at(*place)
    window = window_around(box, margin=2, height=96, width=120)
    assert 0 <= window.top <= window.top + window.height <= 96
    assert 0 <= window.left <= window.left + window.width <= 120
    assert window.top <= max(0, box.row - box.extent[0])
    assert window.top + window.height >= min(96, box.row + box.extent[0])
    assert window.left <= max(0, box.column - box.extent[1])
    assert window.left + window.width >= min(120, box.column + box.extent[1])
    images = torch.rand(1, 3, 96, 120)
    assert cut(images, [0], [window]).shape == (1, 3, window.height, window.width)
