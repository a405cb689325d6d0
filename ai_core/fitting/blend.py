"""Scales of the blended terms, from normal images that are each scored as new ones are."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ai_core.fitting.support import Support
from ai_core.image_score import blended_patches, patch_log_odds
from ai_core.model import Blend, Head, mirror_asymmetry
from ai_core.presets import Preset

_LEAST_DEVIATION = 1e-6


@torch.no_grad()
def with_blend(
    heads: Sequence[Head], *, support: Support, folds: Tensor | None, preset: Preset
) -> tuple[Head, ...]:
    """Give heads the scales of the preset's blend; unchanged where it blends nothing.

    Args:
        heads: of the folds, in their order; they share the patch bank of the whole support set.
        support: the whole support set.
        folds: fold of each image, int64, shape (k,); None for a single head that has seen them
            all, whose log-odds of normal patches are then those of patches that it knows.
        preset: the choices that the heads were fitted with.
    """
    if preset.blend is None:
        return tuple(heads)
    if folds is None:
        folds = torch.zeros(len(support), dtype=torch.int64)
    tokens = support.encoded.tokens
    parts = [folds == number for number in range(len(heads))]
    odds = [
        patch_log_odds((head,), tokens[part], preset=preset)
        for head, part in zip(heads, parts, strict=True)
    ]
    asymmetry = mirror_asymmetry(tokens, window=preset.blend.mirror_window)
    studies = support.groups
    if bool((studies == studies[0]).all()):  # as in the patch bank: each image is a study
        studies = torch.arange(len(studies))
    blend = Blend(
        settings=preset.blend,
        odds_mean=torch.stack([one.mean() for one in odds]),
        odds_deviation=torch.stack([one.std() for one in odds]).clamp_min(_LEAST_DEVIATION),
        mirror_mean=asymmetry.mean(),
        mirror_deviation=asymmetry.std().clamp_min(_LEAST_DEVIATION),
        levels=asymmetry.new_zeros(0),
        level_owners=studies.new_zeros(0),
    )
    levels = asymmetry.new_zeros(len(support))
    for number, head in enumerate(heads):
        alone = replace(head, blend=blend.of_head(number))
        for study in sorted(set(studies[parts[number]].tolist())):
            own = parts[number] & (studies == study)
            places = None if support.series_places is None else support.series_places[own]
            patches = blended_patches(
                (alone,), tokens[own], preset=preset, series_places=places, without=study
            )
            levels[own] = patches.median(1).values
    blend = replace(blend, levels=levels, level_owners=studies.to(levels.device))
    return tuple(replace(head, blend=blend) for head in heads)
