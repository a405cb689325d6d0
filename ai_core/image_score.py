"""Image score: S_n and S_a to the reported map, and the map to one score."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.images import IMAGE_SIZE
from ai_core.model import Head, LogMaps, fuse, similarities
from ai_core.normal_tail import LOG_ODDS_STRETCH
from ai_core.presets import Preset


@torch.no_grad()
def score_tokens(head: Head, tokens: Tensor, *, preset: Preset) -> tuple[Tensor, Tensor]:
    """Compute reported maps and image scores from patch tokens.

    Args:
        head: the fitted head.
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width), N at least 1.
        preset: the choices that the head was fitted with.

    Returns:
        Maps, shape (N, 224, 224), and scores, shape (N,), float32 on the CPU.
    """
    maps = fuse(
        similarities(head.adapters(tokens), head.text),
        temperature=preset.temperature,
        side=IMAGE_SIZE,
        fusion=preset.fusion,
        align_corners=preset.align_corners,
    )
    deviation = None if head.patch_bank is None else head.patch_bank.deviation(tokens)
    reported = reported_map(maps, preset=preset, deviation=deviation)
    return reported.cpu(), image_scores(reported, preset=preset).cpu()


def reported_map(maps: LogMaps, *, preset: Preset, deviation: Tensor | None = None) -> Tensor:
    """Compute the anomaly map on the preset's scale, float32 in [0, 1], shape (N, H, W).

    "probability" is S_a (MediCLIP Eq. 2). "log-odds" is sigmoid(log(S_a / S_n) / 4): the same
    order of pixels and of maxima, with the top of the scale kept apart instead of rounded to 1.

    Args:
        maps: log S_n and log S_a, shape (N, H, W).
        preset: sets the scale and the weight of the patch bank.
        deviation: of the patch bank, shape (N, patches), where the preset has one; added to the
            log-odds, bilinear between patches.
    """
    odds = maps.log_odds
    if deviation is not None and preset.memory is not None:
        odds = odds + preset.memory.weight * _at_pixels(deviation, side=odds.shape[-1])
    elif preset.map_scale == "probability":
        return maps.anomaly.exp().clamp(0, 1)
    stretch = LOG_ODDS_STRETCH if preset.map_scale == "log-odds" else 1.0
    return torch.sigmoid(odds / stretch)


def image_scores(maps: Tensor, *, preset: Preset) -> Tensor:
    """Compute one score per map, never above its maximum, shape (N,).

    "max" is the paper's image score; "top-mean" is the mean of the highest `Preset.top_share`
    of the pixels.
    """
    flat = maps.flatten(1)
    highest = flat.amax(1) if len(flat) else flat.new_zeros(0)
    if preset.image_score == "max":
        return highest
    count = max(1, round(preset.top_share * flat.shape[1]))
    mean = flat.topk(count, dim=1).values.double().mean(1).float()
    return torch.minimum(mean, highest)


def _at_pixels(patches: Tensor, *, side: int) -> Tensor:
    grid = math.isqrt(patches.shape[1])
    maps = patches.view(-1, 1, grid, grid)
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)[:, 0]
