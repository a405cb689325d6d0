"""What is painted on the source comes back to the same source pixel."""

import numpy as np
import pytest

from ai_core.images.placement import Mode, Placement

SHAPES = [(480, 640), (640, 480), (60, 90), (91, 37), (224, 224), (1000, 333)]


def centre_of_mass(image: np.ndarray) -> tuple[float, float]:
    row, column = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return float((row * image).sum() / image.sum()), float((column * image).sum() / image.sum())


def painted(rows: int, columns: int, corner: tuple[int, int], side: int) -> np.ndarray:
    """A square in one corner, away from the border so that no resampling is cut by it."""
    image = np.zeros((rows, columns, 3), dtype=np.float32)
    top = side if corner[0] == 0 else rows - 2 * side
    left = side if corner[1] == 0 else columns - 2 * side
    image[top : top + side, left : left + side] = 1
    return image


@pytest.mark.parametrize("mode", ["pad", "stretch"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_square_painted_in_a_corner_comes_back_to_its_place_within_half_a_pixel(
    mode: Mode, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    rows, columns = shape
    placement = Placement(rows=rows, columns=columns, mode=mode)
    image = painted(rows, columns, corner, side=max(6, min(shape) // 8))

    back = placement.to_source(placement.to_input(image)[0])

    assert back.shape == shape
    assert back.dtype == np.float32
    expected, found = centre_of_mass(image[..., 0]), centre_of_mass(back)
    assert abs(found[0] - expected[0]) < 0.5
    assert abs(found[1] - expected[1]) < 0.5


@pytest.mark.parametrize("mode", ["pad", "stretch"])
def test_a_pixel_of_the_map_lands_where_arithmetic_says(mode: Mode) -> None:
    placement = Placement(rows=448, columns=224 * 3, mode=mode)
    anomaly_map = np.zeros((224, 224), dtype=np.float32)
    anomaly_map[100, 50] = 1

    row, column = centre_of_mass(placement.to_source(anomaly_map))

    height = 224 if mode == "stretch" else round(448 / 3)
    top = (224 - height) // 2
    assert row == pytest.approx((100.5 - top) * 448 / height - 0.5, abs=0.01)
    assert column == pytest.approx(50.5 * 3 - 0.5, abs=0.01)


def test_padding_is_black_and_the_aspect_ratio_is_kept() -> None:
    placement = Placement(rows=100, columns=200)
    square = placement.to_input(np.ones((100, 200, 3), dtype=np.float32))
    assert square.shape == (3, 224, 224)
    assert (square[:, 56:168] == 1).all()
    assert (square[:, :56] == 0).all()
    assert (square[:, 168:] == 0).all()


def test_pixels_that_are_higher_than_wide_keep_their_physical_shape() -> None:
    placement = Placement(rows=100, columns=200, pixel_aspect=2.0)
    assert (placement.height, placement.width, placement.top, placement.left) == (224, 224, 0, 0)


def test_stretching_fills_the_square() -> None:
    placement = Placement(rows=10, columns=200, mode="stretch")
    assert (placement.to_input(np.ones((10, 200, 3), dtype=np.float32)) == 1).all()


def test_the_padding_of_the_map_does_not_bleed_into_the_source() -> None:
    placement = Placement(rows=100, columns=200)
    anomaly_map = np.ones((224, 224), dtype=np.float32)
    anomaly_map[56:168] = 0
    assert placement.to_source(anomaly_map).max() == 0


def test_colours_stay_in_their_channels() -> None:
    image = np.zeros((30, 40, 3), dtype=np.float32)
    image[..., 2] = 0.5
    square = Placement(rows=30, columns=40, mode="stretch").to_input(image)
    assert square[:2].max() == 0
    assert np.allclose(square[2], 0.5)


def test_an_image_of_another_size_is_refused() -> None:
    placement = Placement(rows=10, columns=20)
    with pytest.raises(ValueError, match="10x20"):
        placement.to_input(np.zeros((20, 10, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="224x224"):
        placement.to_source(np.zeros((10, 20), dtype=np.float32))
