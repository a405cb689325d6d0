"""Image score: S_n and S_a to the reported map, and the map to one score."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.images import IMAGE_SIZE, Views
from ai_core.model import FoldHeads, Head, LogMaps, fuse, similarities
from ai_core.normal_tail import LOG_ODDS_STRETCH
from ai_core.presets import Preset


@torch.no_grad()
def score_tokens(
    head: Head | FoldHeads,
    tokens: Tensor,
    *,
    preset: Preset,
    series_places: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute reported maps and image scores from patch tokens.

    Several heads report one map: the preset's blend, or the mean over the heads of log(S_a / S_n)
    at each pixel with the patch bank's deviation added, on the preset's scale. It is cut at the
    image score, so that a pixel exceeds a threshold exactly where the image score does; the order
    of pixels stays, but for the few highest, which tie. A head of its own, as in a detector of
    version 0.1.0, reports its map uncut.

    Args:
        head: the fitted head, or the heads of the folds.
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width), N at least 1.
        preset: the choices that the heads were fitted with.
        series_places: place of each image along its series, see `Detector.score`.

    Returns:
        Maps, shape (N, 224, 224), and scores, shape (N,), float32 on the CPU.
    """
    if isinstance(head, FoldHeads):
        return _cut_maps(
            head.heads, tokens, preset=preset, series_places=series_places, without=None
        )
    reported = _reported((head,), tokens, preset=preset, series_places=series_places, without=None)
    return reported.cpu(), image_scores(reported, preset=preset).cpu()


@torch.no_grad()
def score_held_out(
    head: Head,
    tokens: Tensor,
    *,
    preset: Preset,
    study: int,
    number: int,
    series_places: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute maps and scores of a support study's images as those of a new study are computed.

    Args:
        head: of the fold that holds the study out.
        tokens: of the study's images, shape (N, blocks, patches, width), N at least 1.
        preset: the choices that the head was fitted with.
        study: its index; its own entries of the patch bank and its levels don't count.
        number: of the head among those of the folds.
        series_places: place of each image along its series, see `Detector.score`.

    Returns:
        As `score_tokens`, of this one head.
    """
    if head.blend is not None:
        head = replace(head, blend=head.blend.of_head(number))
    return _cut_maps((head,), tokens, preset=preset, series_places=series_places, without=study)


def _cut_maps(
    heads: Sequence[Head],
    tokens: Tensor,
    *,
    preset: Preset,
    series_places: Tensor | None,
    without: int | None,
) -> tuple[Tensor, Tensor]:
    reported = _reported(heads, tokens, preset=preset, series_places=series_places, without=without)
    scores = image_scores(reported, preset=preset)
    return torch.minimum(reported, scores[:, None, None]).cpu(), scores.cpu()


def _reported(
    heads: Sequence[Head],
    tokens: Tensor,
    *,
    preset: Preset,
    series_places: Tensor | None,
    without: int | None,
) -> Tensor:
    bank, blend = heads[0].patch_bank, heads[0].blend
    if blend is not None:
        patches = blended_patches(
            heads, tokens, preset=preset, series_places=series_places, without=without
        )
        levelled = blend.with_level(patches, without=without)
        return torch.sigmoid(_at_pixels(levelled, side=IMAGE_SIZE) / LOG_ODDS_STRETCH)
    maps = _mean_maps(heads, tokens, preset=preset)
    deviation = (
        None
        if bank is None
        else bank.deviation(tokens, series_places=series_places, without=without)
    )
    return reported_map(maps, preset=preset, deviation=deviation)


def blended_patches(
    heads: Sequence[Head],
    tokens: Tensor,
    *,
    preset: Preset,
    series_places: Tensor | None = None,
    without: int | None = None,
) -> Tensor:
    """Compute the weighted sum of a blend's terms, before the image's level is set.

    Args:
        heads: with the blend's scales.
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width), N at least 1.
        preset: the choices that the heads were fitted with.
        series_places: place of each image along its series, see `Detector.score`.
        without: a study of the support set whose own entries of the patch bank don't count.

    Returns:
        float32, shape (N, patches).
    """
    bank, blend = heads[0].patch_bank, heads[0].blend
    assert blend is not None
    settings = blend.settings
    odds = patch_log_odds(heads, tokens, preset=preset)
    total = settings.odds_weight * blend.odds_deviations(odds)
    if bank is not None:
        deviation = bank.deviation(tokens, series_places=series_places, without=without)
        total = total + bank.settings.weight * deviation
    if settings.mirror_weight:
        total = total + settings.mirror_weight * blend.mirror_deviations(tokens)
    return total


def patch_log_odds(heads: Sequence[Head], tokens: Tensor, *, preset: Preset) -> Tensor:
    """Compute log(S_a / S_n) of each patch by each head, shape (heads, N, patches)."""
    maps = (
        fuse(
            similarities(head.adapters(tokens), head.text),
            temperature=preset.temperature,
            side=math.isqrt(tokens.shape[2]),
            fusion=preset.fusion,
        )
        for head in heads
    )
    return torch.stack([one.log_odds.flatten(1) for one in maps])


def _mean_maps(heads: Sequence[Head], tokens: Tensor, *, preset: Preset) -> LogMaps:
    """Return maps whose log-odds are the mean of the heads' log-odds."""
    if preset.fusion == "mean-then-softmax":
        # log-odds are linear in the similarities: their mean is enlarged once for all heads
        mean = torch.stack([similarities(head.adapters(tokens), head.text) for head in heads])
        return _fused(mean.mean(0), preset=preset)
    odds = torch.stack([_log_maps(head, tokens, preset=preset).log_odds for head in heads]).mean(0)
    return LogMaps(normal=F.logsigmoid(-odds), anomaly=F.logsigmoid(odds))


def _log_maps(head: Head, tokens: Tensor, *, preset: Preset) -> LogMaps:
    return _fused(similarities(head.adapters(tokens), head.text), preset=preset)


def _fused(similarity: Tensor, *, preset: Preset) -> LogMaps:
    return fuse(
        similarity,
        temperature=preset.temperature,
        side=IMAGE_SIZE,
        fusion=preset.fusion,
        align_corners=preset.align_corners,
    )


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


def merge_views(maps: Tensor, scores: Tensor, *, views: Views) -> tuple[Tensor, Tensor]:
    """Combine maps and image scores of views into those of images; see `Views.merge`.

    The map of each view is cut at its image score, and an image's score is the maximum of its map:
    a pixel exceeds a threshold exactly where the image score does.

    Args:
        maps: of all views, float32 on the CPU, shape (N * views, 224, 224).
        scores: image scores of all views, float32 on the CPU, shape (N * views,).
        views: the views of an image; one leaves everything as it is.

    Returns:
        Maps, shape (N, 224, 224), and scores, shape (N,).
    """
    if views.count == 1:
        return maps, scores
    merged = torch.from_numpy(views.merge(torch.minimum(maps, scores[:, None, None]).numpy()))
    return merged, merged.flatten(1).amax(1)


def merge_scope(in_scope: Tensor, *, views: Views) -> Tensor:
    """Return which images are in scope: those of which more than half of the views are.

    Args:
        in_scope: of all views, bool, shape (N * views,).
        views: the views of an image.

    Returns:
        bool, shape (N,).
    """
    return in_scope.view(-1, views.count).float().mean(1) > 0.5


def merge_reasons(unlike: Sequence[str | None], *, views: Views) -> tuple[str | None, ...]:
    """Return by which kind of statistics each image is out of scope; None for one in scope.

    Of views that disagree the first that is out of scope names the kind.

    Args:
        unlike: of all views, in the order of `merge_scope`'s.
        views: the views of an image.
    """
    merged: list[str | None] = []
    for at in range(0, len(unlike), views.count):
        kinds = [kind for kind in unlike[at : at + views.count] if kind is not None]
        merged.append(kinds[0] if 2 * len(kinds) >= views.count else None)
    return tuple(merged)


def _at_pixels(patches: Tensor, *, side: int) -> Tensor:
    grid = math.isqrt(patches.shape[1])
    maps = patches.view(-1, 1, grid, grid)
    return F.interpolate(maps, (side, side), mode="bilinear", align_corners=False)[:, 0]
