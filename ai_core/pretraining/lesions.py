"""Bright and dark lesions in the same place of a picture, drawn from a seed of its own."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.pretraining.settings import LesionSettings

_CANDIDATES = 24
"""Places among which the first with room for both signs is taken."""

_SHAPE_DRAWS = 6
_DRAWS = _SHAPE_DRAWS + 2 * _CANDIDATES
"""Even numbers that one lesion takes, whatever its settings."""

_LESION_SEEDS = 2**60
"""Added to a seed: other numbers than those that placed the crop."""

_SURROUNDING = 1 / 16
"""Side of the square whose mean decides whether a place has room, as a share of the image's."""


@dataclass(frozen=True, slots=True)
class LesionPair:
    """One lesion of each picture, brighter than its surroundings and darker by as much.

    Attributes:
        bright: float32 in [0, 1], shape (N, 3, H, W).
        dark: likewise.
        weight: share of each pixel that is lesion, in [0, 1], shape (N, H, W).
        room: whether surroundings and contrast stay within [0, 1] both ways, bool, shape (N,).
    """

    bright: Tensor
    dark: Tensor
    weight: Tensor
    room: Tensor


def lesion_pairs(images: Tensor, *, seeds: Tensor, settings: LesionSettings) -> LesionPair:
    """Draw an ellipse with a soft edge in each picture, once brighter and once darker.

    Within it the contrast is added to the picture, or to the mean of the place where it is flat.

    A lesion depends on its picture, its seed and the settings alone, never on its company.

    Args:
        images: float32 RGB in [0, 1], square, shape (N, 3, H, H), on the CPU.
        seeds: int64, not negative, shape (N,).
        settings: contrast, size and edge.
    """
    side = images.shape[-1]
    draws = torch.stack([_draws(seed) for seed in seeds.tolist()])
    shape = draws[:, :_SHAPE_DRAWS]
    places = draws[:, _SHAPE_DRAWS:].view(len(images), _CANDIDATES, 2)
    contrast = _between(settings.contrast, shape[:, 0]).float()
    radii = side * _between(settings.radius, shape[:, 1:3])
    angle = math.pi * shape[:, 3]
    edge = _between(settings.edge, shape[:, 4])
    margin = radii.amax(dim=1)[:, None, None]
    centres = margin + places * (side - 2 * margin)
    centre, room = _first_with_room(images, centres, contrast=contrast)
    weight = _ellipses(side, centre=centre, radii=radii, angle=angle, edge=edge)
    inside = weight[:, None]
    mean = (images * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True)
    flat = (shape[:, 5] < settings.flat).view(-1, 1, 1, 1)
    ground = torch.where(flat, images + inside * (mean - images), images)
    added = contrast.view(-1, 1, 1, 1) * inside
    return LesionPair(
        bright=(ground + added).clamp(0, 1),
        dark=(ground - added).clamp(0, 1),
        weight=weight,
        room=room,
    )


def lesion_share(weight: Tensor, *, grid: int) -> Tensor:
    """Compute the mean weight of each patch, shape (N, grid * grid)."""
    return F.adaptive_avg_pool2d(weight[:, None], grid).flatten(1)


def _draws(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed((seed + _LESION_SEEDS) % 2**62)
    return torch.rand(_DRAWS, generator=generator, dtype=torch.float64)


def _between(limits: tuple[float, float], u: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * u


def _first_with_room(images: Tensor, centres: Tensor, *, contrast: Tensor) -> tuple[Tensor, Tensor]:
    """Choose among (N, candidates, 2) places; where none has room, the one with the most."""
    side = images.shape[-1]
    reach = max(1, round(side * _SURROUNDING / 2))
    around = F.avg_pool2d(
        images.mean(dim=1, keepdim=True), 2 * reach + 1, 1, reach, count_include_pad=False
    )
    pixels = centres.long().clamp(0, side - 1)
    rows = torch.arange(len(images))[:, None]
    value = around[rows, 0, pixels[..., 1], pixels[..., 0]]
    spare = torch.minimum(value, 1 - value) - contrast[:, None]
    fits = spare >= 0
    # argmax of equal values is not promised to be the first: earlier places weigh more
    order = torch.arange(_CANDIDATES, 0, -1)
    chosen = torch.where(fits.any(dim=1), (fits * order).argmax(dim=1), spare.argmax(dim=1))
    return centres[rows[:, 0], chosen], fits.any(dim=1)


def _ellipses(side: int, *, centre: Tensor, radii: Tensor, angle: Tensor, edge: Tensor) -> Tensor:
    axis = torch.arange(side, dtype=torch.float64) + 0.5
    x = axis[None, None, :] - centre[:, 0, None, None]
    y = axis[None, :, None] - centre[:, 1, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    along = (x * cosine + y * sine) / radii[:, 0, None, None]
    across = (y * cosine - x * sine) / radii[:, 1, None, None]
    radius = (along.square() + across.square()).sqrt()
    return torch.sigmoid((1 - radius) / edge[:, None, None]).float()
