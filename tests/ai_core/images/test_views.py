"""A bright pixel of the image is the map's maximum at its place, in a box and enlarged."""

import numpy as np
import pytest

from ai_core.images import IMAGE_SIZE, Box, Mode, Placement, Views

SHAPES = [(480, 640), (91, 37), (301, 457), (1024, 871), (224, 224)]
PLACES = [(0.0, 0.0), (0.999, 0.999), (0.31, 0.62), (0.5, 0.5), (0.999, 0.0)]


def shown(image: np.ndarray, placement: Placement, times: int) -> np.ndarray:
    """The map of a detector that finds anomalous whatever is bright."""
    square = placement.to_input(np.repeat(image[..., None], 3, axis=2), times=times)[0]
    assert square.shape == (times * IMAGE_SIZE, times * IMAGE_SIZE)
    found: np.ndarray = square.reshape(IMAGE_SIZE, times, IMAGE_SIZE, times).mean(axis=(1, 3))
    return found


@pytest.mark.parametrize("times", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["pad", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", PLACES)
def test_a_bright_pixel_is_the_maps_maximum_at_its_place(
    times: int, mode: Mode, shape: tuple[int, int], place: tuple[float, float]
) -> None:
    image = np.zeros(shape, dtype=np.float32)
    row, column = int(place[0] * shape[0]), int(place[1] * shape[1])
    image[row, column] = 1
    placement = Placement(rows=shape[0], columns=shape[1], mode=mode)

    back = placement.to_source(shown(image, placement, times))

    assert back.shape == shape
    found = np.unravel_index(int(back.argmax()), shape)
    # the map has 224 pixels: one of them covers so many of the image's
    reach = [max(1.0, 1 / scale) for scale in placement.scale]
    assert abs(found[0] - row) <= reach[0]
    assert abs(found[1] - column) <= reach[1]


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("box", [(30, 11, 70, 41), (0, 0, 1, 1), (101, 3, 22, 91), (0, 50, 123, 7)])
def test_a_bright_pixel_in_a_box_comes_back_and_the_rest_is_normal(
    times: int, aspect: float, box: Box
) -> None:
    top, left, rows, columns = box
    image = np.ones((123, 97), dtype=np.float32)
    image[top : top + rows, left : left + columns] = 0
    row, column = top + rows // 3, left + (3 * columns) // 4
    image[row, column] = 0.5
    placement = Placement(rows=123, columns=97, pixel_aspect=aspect, box=box)

    back = placement.to_source(shown(image, placement, times))

    outside = np.ones_like(image, dtype=bool)
    outside[top : top + rows, left : left + columns] = False
    assert not back[outside].any()
    found = np.unravel_index(int(back.argmax()), back.shape)
    assert abs(found[0] - row) <= 1
    assert abs(found[1] - column) <= 1


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 5, 5), (5, 5, 6, 2), (0, 9, 1, 2)])
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="box"):
        Placement(rows=10, columns=10, box=box)


def test_windows_are_combined_by_the_maximum_of_each_pixel() -> None:
    views = Views(windows=2)
    maps = np.random.default_rng(1).random((6, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    merged = views.merge(maps)
    assert merged.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert (merged[1] == np.maximum(maps[2], maps[3])).all()
    assert (Views().merge(maps) == maps).all()


def test_views_of_no_whole_number_of_images_are_refused() -> None:
    with pytest.raises(ValueError, match="2 views"):
        Views(windows=2).merge(np.zeros((3, 4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="at least one window"):
        Views(windows=0)
