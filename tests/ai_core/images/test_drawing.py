"""Picture sheets: tiles that keep their aspect ratio, marks that leave the rest alone."""

import numpy as np
import pytest

from ai_core.images.drawing import tile, tint, to_picture


def test_a_wide_image_keeps_its_shape_between_black_bars() -> None:
    square = np.asarray(tile(np.ones((50, 100, 3), dtype=np.float32), 40))
    assert square.shape == (40, 40, 3)
    assert (square[10:30] == 255).all()
    assert not square[:10].any()
    assert not square[30:].any()


def test_a_stretched_image_gets_its_own_aspect_ratio_back() -> None:
    square = np.asarray(tile(np.ones((224, 224, 3), dtype=np.float32), 40, rows=400, columns=200))
    assert (square[:, 10:30] == 255).all()
    assert not square[:, :10].any()
    assert not square[:, 30:].any()


def test_a_tint_mixes_where_asked_and_copies() -> None:
    image = np.zeros((2, 2, 3), dtype=np.float32)
    where = np.array([[True, False], [False, False]])
    mixed = tint(image, where, (255, 0, 51), share=0.5)
    assert mixed[0, 0].tolist() == pytest.approx([0.5, 0, 0.1])
    assert not mixed[~where].any()
    assert not image.any()


def test_values_beyond_black_and_white_are_cut_off() -> None:
    image = np.full((1, 1, 3), 7, dtype=np.float32)
    image[0, 0, 0] = -1
    assert to_picture(image).getpixel((0, 0)) == (0, 255, 255)
