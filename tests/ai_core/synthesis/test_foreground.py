"""The body is found under every kind of surround."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ai_core.synthesis.foreground import body_cells, body_pixels, draw_centre
from ai_core.synthesis.seeded_stream import SeededStream

ndimage: Any = scipy.ndimage  # scipy ships no types
SIZE = 224
PLACES = torch.linspace(-1, 1, SIZE)
OVAL = PLACES[:, None].square() / 0.5 + PLACES[None, :].square() / 0.3 < 1


def textured(low: float, high: float, seed: int = 0) -> Tensor:
    coarse = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(seed))
    fine = F.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1)
    return (low + (high - low) * fine)[0, 0]


def body_of(image: Tensor) -> Tensor:
    images = image.expand(1, 3, SIZE, SIZE)
    return body_pixels(body_cells(images), height=SIZE, width=SIZE, device=torch.device("cpu"))[0]


def agreement(found: Tensor, truth: Tensor) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def noise(deviation: float) -> Tensor:
    return (deviation * torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(9))).abs()


@pytest.mark.parametrize(
    "surround",
    [torch.zeros(SIZE, SIZE), noise(0.03), torch.ones(SIZE, SIZE), torch.full((SIZE, SIZE), 0.15)],
    ids=["black", "noisy air", "white", "grey"],
)
def test_a_body_within_a_surround(surround: Tensor) -> None:
    image = torch.where(OVAL, textured(0.35, 0.8), surround.clamp(0, 1))
    image[0, 0] = 0
    image[SIZE // 2, SIZE // 2] = 1
    assert agreement(body_of(image), OVAL) > 0.9


def test_a_grey_frame_within_black_padding() -> None:
    image = torch.where(OVAL, textured(0.35, 0.8), torch.tensor(0.12))
    image[:, :30] = 0
    image[:, -30:] = 0
    assert agreement(body_of(image), OVAL) > 0.9


def test_lungs_belong_to_the_body() -> None:
    image = torch.where(OVAL, textured(0.4, 0.8), torch.tensor(0.0))
    image[90:130, 80:100] = 0.0
    assert body_of(image)[110, 90]


def test_an_ultrasound_sector() -> None:
    rows, columns = torch.meshgrid(PLACES + 1.2, PLACES, indexing="ij")
    sector = (rows.hypot(columns) < 2) & (columns.abs() < 0.6 * rows)
    image = torch.where(sector, textured(0.2, 0.7), torch.tensor(0.0))
    assert agreement(body_of(image), sector) > 0.9


def test_an_image_without_any_surround_is_all_body() -> None:
    assert body_of(textured(0.0, 1.0)).float().mean() > 0.9
    assert body_of(textured(0.4, 0.9)).float().mean() > 0.9


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_image_is_all_body(value: float) -> None:
    assert body_of(torch.full((SIZE, SIZE), value)).all()


def test_burnt_in_text_is_no_body() -> None:
    image = torch.where(OVAL, textured(0.35, 0.8), torch.tensor(0.0))
    image[6:18, 6:50] = 1.0
    found = body_of(image)
    assert not found[6:18, 6:50].any()
    assert agreement(found, OVAL) > 0.9


def test_centres_lie_on_the_body_and_as_deep_as_asked() -> None:
    cells = body_cells(torch.where(OVAL, 0.6, 0.0).expand(1, 3, SIZE, SIZE))[0]
    inwards = ndimage.distance_transform_edt(OVAL.numpy())
    for depth in (8.0, 24.0):
        for seed in range(100):
            row, column = draw_centre(
                cells, SeededStream(seed), depth=depth, height=SIZE, width=SIZE
            )
            assert inwards[round(row), round(column)] >= depth - 6


def test_a_body_that_is_not_so_deep_gives_its_deepest_places() -> None:
    cells = body_cells(torch.where(OVAL, 0.6, 0.0).expand(1, 3, SIZE, SIZE))[0]
    places = [
        draw_centre(cells, SeededStream(seed), depth=500.0, height=SIZE, width=SIZE)
        for seed in range(50)
    ]
    assert np.abs(np.array(places)[:, 1] - SIZE / 2).max() < 25


@pytest.mark.parametrize(("name", "least", "most"), [("brainmri", 0.1, 0.95), ("busi", 0.6, 1.0)])
def test_on_real_images_the_body_has_a_likely_size(
    name: str, least: float, most: float, shared_data: Path
) -> None:
    names = json.loads((shared_data / "splits" / f"{name}.json").read_text())["pool_normal"][:12]
    images = [Image.open(shared_data / n).convert("L").resize((SIZE, SIZE)) for n in names]
    pixels = torch.stack([torch.from_numpy(np.array(image)) for image in images]).float() / 255
    shares = [cells.mean() for cells in body_cells(pixels[:, None])]
    assert all(least <= share <= most for share in shares), shares
