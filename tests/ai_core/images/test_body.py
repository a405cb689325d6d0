"""The box around the body keeps the body and leaves the surround, on any kind of image."""

import numpy as np
import pytest

from ai_core.images import body_box, join_boxes


def ellipse(rows: int, columns: int, *, centre: tuple[float, float], radii: tuple[float, float]):
    row, column = np.mgrid[0:rows, 0:columns]
    return ((row - centre[0]) / radii[0]) ** 2 + ((column - centre[1]) / radii[1]) ** 2 <= 1


@pytest.mark.parametrize("shape", [(300, 400), (401, 233), (64, 48), (30, 20), (1500, 1201)])
@pytest.mark.parametrize("inverted", [False, True])
def test_no_pixel_of_the_body_is_outside_and_the_margin_is_small(
    shape: tuple[int, int], inverted: bool
) -> None:
    rows, columns = shape
    body = ellipse(
        rows, columns, centre=(0.45 * rows, 0.55 * columns), radii=(0.3 * rows, 0.2 * columns)
    )
    texture = 0.4 + 0.2 * np.cos(np.mgrid[0:rows, 0:columns][0] / 3)
    grey = np.where(body, texture, 0.02).astype(np.float32)
    grey += np.random.default_rng(0).normal(0, 0.005, shape).astype(np.float32)
    grey = np.clip(1 - grey if inverted else grey, 0, 1)

    top, left, high, wide = body_box(np.repeat(grey[..., None], 3, axis=2))

    inside = np.zeros(shape, dtype=bool)
    inside[top : top + high, left : left + wide] = True
    assert not (body & ~inside).any()
    # the body's own extent, two cells of the grid on each side, and what rounding adds
    assert high <= 0.6 * rows + 6 * rows / min(56, rows) + 2
    assert wide <= 0.4 * columns + 6 * columns / min(56, columns) + 2


def test_burnt_in_text_does_not_widen_the_box() -> None:
    grey = np.where(ellipse(448, 448, centre=(224, 224), radii=(90, 90)), 0.6, 0.0)
    grey[8:24, 8:70] = 1.0
    top, left, rows, columns = body_box(np.repeat(grey[..., None], 3, axis=2).astype(np.float32))
    assert min(top, left) > 80
    assert max(rows, columns) < 250


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_of_one_value_is_kept_whole(value: float) -> None:
    assert body_box(np.full((40, 31, 3), value, dtype=np.float32)) == (0, 0, 40, 31)


def test_a_body_that_fills_the_image_is_kept_whole() -> None:
    noise = np.random.default_rng(3).random((120, 90, 3), dtype=np.float32)
    assert body_box(0.4 + 0.2 * noise) == (0, 0, 120, 90)


def test_boxes_are_joined_to_the_smallest_around_them() -> None:
    assert join_boxes([(5, 9, 10, 1), (2, 10, 4, 20), (7, 11, 1, 1)]) == (2, 9, 13, 21)
    assert join_boxes([(1, 2, 3, 4)]) == (1, 2, 3, 4)
