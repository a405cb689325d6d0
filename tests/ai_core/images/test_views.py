"""A bright pixel of the image is the map's maximum at its place, whatever views it is shown in."""

import numpy as np
import pytest

from ai_core.images import IMAGE_SIZE, Box, Mode, Placement, Views

SHAPES = [(480, 640), (91, 37), (301, 457), (1024, 871), (224, 224)]
PLACES = [(0.0, 0.0), (0.999, 0.999), (0.31, 0.62), (0.5, 0.5), (0.999, 0.0)]


def shown(image: np.ndarray, placement: Placement, views: Views) -> np.ndarray:
    """The maps of a detector that finds anomalous whatever is bright."""
    square = placement.to_input(np.repeat(image[..., None], 3, axis=2), times=views.tiles)
    return views.cut(square)[:, 0]


def bright_pixel(shape: tuple[int, int], place: tuple[float, float]) -> tuple[int, int]:
    return int(place[0] * shape[0]), int(place[1] * shape[1])


@pytest.mark.parametrize("tiles", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["pad", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("place", PLACES)
def test_a_bright_pixel_is_the_maps_maximum_at_its_place(
    tiles: int, mode: Mode, shape: tuple[int, int], place: tuple[float, float]
) -> None:
    image = np.zeros(shape, dtype=np.float32)
    row, column = bright_pixel(shape, place)
    image[row, column] = 1
    placement = Placement(rows=shape[0], columns=shape[1], mode=mode)
    views = Views(tiles=tiles)

    (merged,) = views.merge(shown(image, placement, views))
    back = placement.to_source(merged)

    assert back.shape == shape
    found = np.unravel_index(int(back.argmax()), shape)
    # the map has 224 pixels: one of them covers so many of the image's
    reach = [max(1.0, 1 / scale) for scale in placement.scale]
    assert abs(found[0] - row) <= reach[0]
    assert abs(found[1] - column) <= reach[1]


@pytest.mark.parametrize("tiles", [1, 2, 3])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("box", [(30, 11, 70, 41), (0, 0, 1, 1), (101, 3, 22, 91), (0, 50, 123, 7)])
def test_a_bright_pixel_in_a_box_comes_back_and_the_rest_is_normal(
    tiles: int, aspect: float, box: Box
) -> None:
    top, left, rows, columns = box
    image = np.ones((123, 97), dtype=np.float32)
    image[top : top + rows, left : left + columns] = 0
    row, column = top + rows // 3, left + (3 * columns) // 4
    image[row, column] = 0.5
    placement = Placement(rows=123, columns=97, pixel_aspect=aspect, box=box)
    views = Views(tiles=tiles)

    back = placement.to_source(views.merge(shown(image, placement, views))[0])

    outside = np.ones_like(image, dtype=bool)
    outside[top : top + rows, left : left + columns] = False
    assert not back[outside].any()
    found = np.unravel_index(int(back.argmax()), back.shape)
    assert abs(found[0] - row) <= 1
    assert abs(found[1] - column) <= 1


@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_tiles_of_one_value_blend_to_that_value_without_seams(tiles: int) -> None:
    views = Views(tiles=tiles)
    maps = np.full((views.count, IMAGE_SIZE, IMAGE_SIZE), 0.375, dtype=np.float32)
    assert views.merge(maps) == pytest.approx(0.375, abs=1e-6)


@pytest.mark.parametrize("tiles", [2, 3])
def test_tiles_put_together_are_the_square_that_they_were_cut_from(tiles: int) -> None:
    side = tiles * IMAGE_SIZE
    square = np.random.default_rng(0).random((3, side, side), dtype=np.float32)
    views = Views(tiles=tiles)
    means = square[0].reshape(IMAGE_SIZE, tiles, IMAGE_SIZE, tiles).mean(axis=(1, 3))
    assert np.allclose(views.merge(views.cut(square)[:, 0])[0], means, atol=1e-6)


def test_windows_are_combined_by_the_maximum_of_each_pixel() -> None:
    views = Views(windows=2)
    maps = np.random.default_rng(1).random((6, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    merged = views.merge(maps)
    assert merged.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    assert (merged[1] == np.maximum(maps[2], maps[3])).all()


def test_each_window_has_all_its_tiles() -> None:
    views = Views(windows=2, tiles=2)
    assert views.count == 18
    maps = np.zeros((2 * views.count, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    maps[18 + 9 + 4] = 0.5  # second image, second window, the tile in the middle
    first, second = views.merge(maps)
    assert not first.any()
    assert second.max() == pytest.approx(0.5, abs=0.01)
    assert not second[:50].any()


@pytest.mark.parametrize(("windows", "tiles"), [(0, 1), (1, 0), (1, 5)])
def test_impossible_views_are_refused(windows: int, tiles: int) -> None:
    with pytest.raises(ValueError, match="image is"):
        Views(windows=windows, tiles=tiles)


def test_maps_and_squares_of_other_views_are_refused() -> None:
    views = Views(tiles=2)
    with pytest.raises(ValueError, match="9 views"):
        views.merge(np.zeros((8, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32))
    with pytest.raises(ValueError, match=r"\(3, 448, 448\)"):
        views.cut(np.zeros((3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32))


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 5, 5), (5, 5, 6, 2), (0, 9, 1, 2)])
def test_a_box_outside_the_image_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="box"):
        Placement(rows=10, columns=10, box=box)
