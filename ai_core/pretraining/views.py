"""Crops of a batch, and where differences count the same crops with bright and dark lesions."""

import torch
from torch import Tensor

from ai_core.pretraining.augmentation import crops
from ai_core.pretraining.lesions import lesion_pairs, lesion_share
from ai_core.pretraining.settings import PretrainingSettings


def views_of_crop(settings: PretrainingSettings) -> int:
    """Return how many images a crop makes: 3 with lesions (without, bright, dark), else 1."""
    return 3 if settings.difference_weight else 1


def make_views(
    images: Tensor, *, seeds: Tensor, settings: PretrainingSettings, grid: int
) -> tuple[Tensor, Tensor | None]:
    """Make one crop of each picture and its lesions.

    Args:
        images: float32 RGB in [0, 1], shape (N, 3, H, H), on the CPU.
        seeds: int64, not negative, shape (N,).
        settings: how crops and lesions are made, and whether there are lesions.
        grid: patches along a side.

    Returns:
        Images, shape (N, 3, H, H) and None; or with lesions (3 N, 3, H, H), thirds without, with
        bright and with dark ones, and the share of each patch that is lesion, (N, grid * grid).
    """
    clean = crops(images, seeds=seeds, settings=settings.crops)
    if views_of_crop(settings) == 1:
        return clean, None
    pair = lesion_pairs(clean, seeds=seeds, settings=settings.lesions)
    return torch.cat([clean, pair.bright, pair.dark]), lesion_share(pair.weight, grid=grid)
