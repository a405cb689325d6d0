"""Synthetic thorax CT studies as the detector's input: body shape and noise differ, few lesions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 224

_WINDOW_CENTER, _WINDOW_WIDTH = -300.0, 1400.0


def thorax_study(seed: int, *, slices: int, lesion: bool = False) -> Tensor:
    """A study seen through its window, float32 in [0, 1], shape (slices, 3, 224, 224).

    Args:
        seed: of body shape, noise and the lesion's place.
        slices: number of axial slices.
        lesion: put one sphere of soft tissue into a lung, its centre on a slice.
    """
    rng = np.random.default_rng(seed)
    size = 2 * SIDE
    y, x = np.mgrid[:size, :size] / size * 2 - 1
    shape, centre = _draw_thorax(rng, slices=slices)
    images = []
    for index in range(slices):
        z = index / slices * 2 - 1
        body = (x / (0.8 + shape[0])) ** 2 + (y / (0.6 + shape[1])) ** 2 < 1 - 0.2 * z * z
        lungs = np.zeros_like(body)
        for side in (-1, 1):
            lungs |= ((x - side * 0.35) / 0.25) ** 2 + (y / 0.4) ** 2 < 1 - 0.5 * z * z
        units = np.where(body, 40.0, -1000.0)
        units[lungs & body] = -800
        if lesion:
            place = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2
            units[place < 0.012] = 60
        units += rng.normal(0, 15, units.shape)
        grey = np.clip((units - _WINDOW_CENTER) / _WINDOW_WIDTH + 0.5, 0, 1)
        images.append(F.avg_pool2d(torch.from_numpy(grey)[None].float(), 2)[0])
    return torch.stack(images)[:, None].expand(-1, 3, -1, -1).contiguous()


def thorax_lesion(seed: int, *, slices: int) -> np.ndarray:
    """The share of each pixel that the lesion of `thorax_study` fills, (slices, 224, 224)."""
    rng = np.random.default_rng(seed)
    size = 2 * SIDE
    y, x = np.mgrid[:size, :size] / size * 2 - 1
    _, centre = _draw_thorax(rng, slices=slices)
    shares = []
    for index in range(slices):
        z = index / slices * 2 - 1
        inside = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 < 0.012
        shares.append(inside.reshape(SIDE, 2, SIDE, 2).mean(axis=(1, 3)))
    return np.stack(shares)


def _draw_thorax(
    rng: np.random.Generator, *, slices: int
) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The variation of a body's shape, and the centre of its lesion: x, y, z in [-1, 1]."""
    shape = rng.normal(0, 0.02, 4)
    return shape, (
        rng.choice([-1, 1]) * rng.uniform(0.25, 0.45),
        rng.uniform(-0.2, 0.2),
        round(rng.uniform(-0.4, 0.4) * slices / 2) * 2 / slices,
    )
