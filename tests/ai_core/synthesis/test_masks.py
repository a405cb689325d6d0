"""Masks of Perlin noise."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch

from ai_core.synthesis import OFFICIAL_SYNTHESIS, PerlinSettings
from ai_core.synthesis.boxes import Box, make_box, window_around
from ai_core.synthesis.masks import draw_outline, perlin_masks, perlin_noise
from ai_core.synthesis.seeded_stream import SeededStream

ndimage: Any = scipy.ndimage  # scipy ships no types
SIZE = 160


def masks_of(box: Box, settings: PerlinSettings, *, count: int) -> torch.Tensor:
    outlines = [draw_outline(box, settings, SeededStream(seed)) for seed in range(count)]
    windows = [window_around(box, margin=0, height=SIZE, width=SIZE)] * count
    return perlin_masks(outlines, windows, settings=settings, device=torch.device("cpu"))


def test_the_noise_is_perlins_at_every_place() -> None:
    directions = SeededStream(0).directions(1, 1, 4, 4)
    size, down, right = 31, 3, 2
    field = perlin_noise(directions, [(down, right)], size=size)[0, 0]

    def fade(t: float) -> float:
        return t**3 * (t * (t * 6 - 15) + 10)

    for row, column in ((0, 0), (7, 22), (15, 15), (30, 1), (29, 30)):
        y, x = row / (size - 1) * down, column / (size - 1) * right
        top, left = min(int(y), down - 1), min(int(x), right - 1)
        total = 0.0
        for corner_y in (top, top + 1):
            for corner_x in (left, left + 1):
                angle = float(directions[0, 0, corner_y, corner_x])
                slope = math.cos(angle) * (y - corner_y) + math.sin(angle) * (x - corner_x)
                weight_y = 1 - fade(abs(y - corner_y))
                weight_x = 1 - fade(abs(x - corner_x))
                total += weight_y * weight_x * slope
        assert float(field[row, column]) == pytest.approx(math.sqrt(2) * total, abs=1e-5)


def test_a_mask_fills_the_share_of_its_ellipse_that_was_drawn() -> None:
    box = make_box(50, 35, angle=0.6).at(80, 80)
    settings = PerlinSettings(cells=(1, 2, 4), share=(0.5, 0.5))
    masks = masks_of(box, settings, count=12)
    shares = masks.sum((1, 2)) / (math.pi * 50 * 35)
    assert shares.tolist() == pytest.approx([0.5] * 12, abs=0.03)


def test_a_mask_stays_in_its_box() -> None:
    for settings in (PerlinSettings(), OFFICIAL_SYNTHESIS.cutpaste.mask):
        box = make_box(25, 18, angle=0.0).at(70, 90)
        masks = masks_of(box, settings, count=20)
        window = window_around(box, margin=0, height=SIZE, width=SIZE)
        for mask in masks:
            places = mask.nonzero().float() + torch.tensor([window.top, window.left])
            away = (places - torch.tensor([70.0, 90.0])).abs().amax(0)
            assert away[0] <= 25
            assert away[1] <= 18


def test_finer_lattices_make_more_ragged_masks() -> None:
    def parts(cells: int) -> float:
        box = make_box(60, 60, angle=0.3).at(80, 80)
        settings = PerlinSettings(cells=(cells,), share=(0.5, 0.5))
        return float(np.mean([ndimage.label(m)[1] for m in masks_of(box, settings, count=20)]))

    assert parts(8) > parts(4) > parts(1)


def test_the_released_codes_masks_fill_a_fifth_of_their_box_and_are_mostly_one_blob() -> None:
    box = make_box(60, 60, angle=0.0).at(80, 80)
    masks = masks_of(box, OFFICIAL_SYNTHESIS.cutpaste.mask, count=150)
    shares = masks.sum((1, 2)) / 120**2
    assert float((shares >= 0.19).float().mean()) > 0.95
    one = [ndimage.label(mask, np.ones((3, 3)))[1] == 1 for mask in masks]
    assert np.mean(one) == pytest.approx(0.94, abs=0.05)
