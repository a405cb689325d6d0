"""Source deformation: Eq. 5."""

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from ai_core.synthesis import OFFICIAL_SYNTHESIS, PAPER_SYNTHESIS
from ai_core.synthesis.boxes import Window, make_box
from ai_core.synthesis.deformation import Bulge, draw_bulge, source_deformation
from ai_core.synthesis.masks import Shape
from ai_core.synthesis.seeded_stream import SeededStream

stats: Any = scipy.stats  # scipy ships no types
SIZE = 97
WINDOW = Window(0, 0, SIZE, SIZE)
BOX = make_box(30, 18, angle=0.6, shear=(0.1, -0.05)).at(48, 48)
SHAPES: tuple[Shape, ...] = ("ellipse", "rectangle")


def ramps() -> torch.Tensor:
    """An image whose two channels are the row and the column: where a pixel was taken from."""
    places = torch.arange(SIZE, dtype=torch.float32) / (SIZE - 1)
    return torch.stack([places[:, None].expand(SIZE, SIZE), places[None, :].expand(SIZE, SIZE)])[
        None
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.5, -0.4)])
def test_alpha_1_is_the_identity(shape: Shape, centre: tuple[float, float]) -> None:
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    after, mask = source_deformation(image, [Bulge(BOX, shape, centre, 1.0)], [WINDOW])
    assert mask.any()
    assert torch.allclose(after, image, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("centre", [(0.0, 0.0), (0.5, -0.4)])
def test_the_rim_stays_and_outside_nothing_moves(shape: Shape, centre: tuple[float, float]) -> None:
    """Within, a pixel moves by at most α - 1 times its way to the rim."""
    alpha, before = 3.0, ramps()
    after, masks = source_deformation(before, [Bulge(BOX, shape, centre, alpha)], [WINDOW])
    moved = ((after - before)[0] * (SIZE - 1)).numpy()
    length, mask = np.hypot(*moved), masks[0].numpy()
    assert not length[~mask].any()
    assert length.max() > 5
    for row, column in np.argwhere(mask & (length > 0.5)):
        outwards = -moved[:, row, column] / length[row, column]
        steps = np.arange(0, SIZE, 0.25)
        rows, columns = (
            np.clip(np.rint(place + steps * way), 0, SIZE - 1).astype(int)
            for place, way in zip((row, column), outwards, strict=True)
        )
        way_to_rim = steps[np.argmin(mask[rows, columns])]
        assert length[row, column] <= (alpha - 1) * (way_to_rim + 2)


def test_every_pixel_of_an_ellipse_comes_from_where_equation_5_says() -> None:
    tall, wide, alpha = 30.0, 18.0, 2.5
    box = make_box(tall, wide, angle=0.0).at(48, 48)
    after, _ = source_deformation(ramps(), [Bulge(box, "ellipse", (0.0, 0.0), alpha)], [WINDOW])
    for row, column in ((48, 48), (60, 50), (30, 44), (50, 62), (70, 48)):
        down, right = row - 48.0, column - 48.0
        distance = math.hypot(down, right)
        if distance:
            radius = 1 / math.hypot(down / distance / tall, right / distance / wide)
            pull = (distance / radius) ** (alpha - 1)
            down, right = down * pull, right * pull
        came_from = after[0, :, row, column] * (SIZE - 1)
        assert came_from.tolist() == pytest.approx([48 + down, 48 + right], abs=0.02)


def test_a_drawn_centre_is_the_fixed_point_and_the_radius_is_measured_from_it() -> None:
    tall, wide, alpha = 32.0, 20.0, 2.0
    box = make_box(tall, wide, angle=0.0).at(48, 48)
    after, _ = source_deformation(ramps(), [Bulge(box, "rectangle", (0.5, 0.0), alpha)], [WINDOW])
    assert (after[0, :, 64, 48] * (SIZE - 1)).tolist() == pytest.approx([64, 48], abs=0.02)
    # Upwards the rim is 48 pixels away, downwards 16: half way sees a half of half way.
    assert float(after[0, 0, 40, 48] * (SIZE - 1)) == pytest.approx(64 - 12, abs=0.02)
    assert float(after[0, 0, 72, 48] * (SIZE - 1)) == pytest.approx(64 + 4, abs=0.02)


def test_a_window_of_the_image_is_deformed_as_the_whole_image_is() -> None:
    image = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    bulge = Bulge(make_box(14, 10, angle=0.3).at(50, 40), "ellipse", (0.2, 0.1), 3.0)
    whole, _ = source_deformation(image, [bulge], [WINDOW])
    window = Window(30, 20, 40, 44)
    part, _ = source_deformation(image[(..., *window.slices)], [bulge], [window])
    assert torch.allclose(part, whole[(..., *window.slices)], atol=1e-4)


def test_alpha_shape_and_centre_follow_the_stated_laws() -> None:
    paper = [draw_bulge(BOX, PAPER_SYNTHESIS.source, SeededStream(seed)) for seed in range(1500)]
    alphas = [bulge.alpha for bulge in paper]
    low = 2**0.5
    assert stats.kstest(alphas, stats.uniform(low, 4 - low).cdf).pvalue > 0.01
    assert np.mean([bulge.shape == "ellipse" for bulge in paper]) == pytest.approx(0.5, abs=0.05)
    assert {bulge.centre for bulge in paper} == {(0.0, 0.0)}
    official = [
        draw_bulge(BOX, OFFICIAL_SYNTHESIS.source, SeededStream(seed)) for seed in range(1500)
    ]
    powers = np.log2([bulge.alpha for bulge in official])
    assert stats.kstest(powers, stats.uniform(0.5, 1.5).cdf).pvalue > 0.01
    assert len({bulge.centre for bulge in official}) == 1500
    assert all(math.hypot(*b.centre) < 1 for b in official if b.shape == "ellipse")
