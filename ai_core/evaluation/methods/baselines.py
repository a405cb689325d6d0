"""Baselines on the same patch tokens: nearest neighbour, and prompts without any fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.backbone import Backbone
from ai_core.evaluation.methods.mediclip import Method, Scored
from ai_core.fitting import prepare_support
from ai_core.images import IMAGE_SIZE, Mode
from ai_core.model import (
    LearnablePrompts,
    PromptSettings,
    TextTower,
    coreset,
    distances_to_bank,
    join_blocks,
    nearest_distances,
)
from ai_core.operating_point import Rule
from ai_core.presets import Preset
from ai_core.progress import Progress
from ai_core.scope import ImageFacts

BANK_TOKENS = 8192
"""Patch tokens that the nearest-neighbour bank keeps: all of 32 images with 16x16 patches."""

HIGHEST_PATCHES = 3
"""Patches whose mean distance is the nearest-neighbour image score."""


@dataclass(frozen=True, slots=True)
class NearestNeighbour:
    """Distance of each patch to the nearest patch of the support set, as PatchCore measures it.

    The tapped blocks' tokens, each at unit length so that no block outweighs another, are joined.
    The bank keeps all of them up to `BANK_TOKENS`, then a greedy coreset of that size. Image
    score: the mean of the 3 highest patches.
    """

    geometry: Mode
    name: str = "nearest-neighbour"
    preset_name: str | None = None
    fits: bool = True

    def describe(self) -> dict[str, Any]:
        """Return geometry and sizes."""
        return {"geometry": self.geometry, "bank": BANK_TOKENS, "highest": HIGHEST_PATCHES}

    def fit(
        self,
        images: Tensor,
        units: Sequence[int],
        *,
        backbone: Backbone,
        generator: torch.Generator,
        progress: Progress,  # noqa: ARG002
    ) -> "FittedNearestNeighbour":
        """Fill the bank; each unit's own score is against the bank of all the others."""
        tokens = prepare_support(images, groups=units, backbone=backbone).encoded.tokens
        joined = join_blocks(tokens)
        bank = joined.flatten(0, 1)
        owner = torch.tensor(list(units)).repeat_interleave(joined.shape[1]).to(bank.device)
        keep = coreset(bank, size=BANK_TOKENS, generator=generator).to(bank.device)
        bank, owner = bank[keep], owner[keep]
        return FittedNearestNeighbour(
            bank=bank, normal_scores=_left_out_scores(joined, units, bank=bank, owner=owner)
        )


@dataclass(frozen=True, slots=True)
class FittedNearestNeighbour:
    """A bank of normal patches, unit vectors of shape (M, blocks * width)."""

    bank: Tensor
    normal_scores: tuple[float, ...] | None
    rule: Rule = "counting"

    def in_scope(self, facts: ImageFacts) -> Tensor:
        """Take every image: the baseline has no scope guard."""
        return torch.ones(len(facts), dtype=torch.bool)

    def score(self, tokens: Tensor) -> Scored:
        """Score by distances in [0, 2], bilinear between patches."""
        distances = distances_to_bank(join_blocks(tokens), self.bank)
        return Scored(maps=_upsampled(distances), scores=_highest(distances).cpu())


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Table S1's class tokens as plain words against CLIP's own projection of the patches.

    The last tapped block goes through the tower's final norm and projection. Map: cosine to the
    anomaly text less cosine to the normal one; image score: its maximum, as in the paper. It means
    something only where text and vision tower were trained together: with a random text tower the
    two text vectors are two arbitrary directions, and the figure is chance.
    """

    geometry: Mode
    name: str = "zero-shot"
    preset_name: str | None = None
    fits: bool = False

    def describe(self) -> dict[str, Any]:
        """Return the geometry."""
        return {"geometry": self.geometry}

    @torch.no_grad()
    def fit(
        self,
        images: Tensor,  # noqa: ARG002
        units: Sequence[int],  # noqa: ARG002
        *,
        backbone: Backbone,
        generator: torch.Generator,
        progress: Progress,  # noqa: ARG002
    ) -> "FittedZeroShot":
        """Encode the texts; no image is looked at.

        Raises:
            DetectorError: the backbone takes no prompts, or has no projection for tokens.
        """
        backbone.frozen_projection()
        tower = TextTower(backbone.model)
        text = LearnablePrompts(
            tower, settings=PromptSettings(context=0), generator=generator
        )().detach()
        return FittedZeroShot(visual=backbone.model.visual, text=text)


@dataclass(frozen=True, slots=True)
class FittedZeroShot:
    """Two text vectors and the vision tower's final norm and projection."""

    visual: Any
    text: Tensor
    normal_scores: tuple[float, ...] | None = None
    rule: Rule = "counting"

    def in_scope(self, facts: ImageFacts) -> Tensor:
        """Take every image: the baseline has no scope guard."""
        return torch.ones(len(facts), dtype=torch.bool)

    @torch.no_grad()
    def score(self, tokens: Tensor) -> Scored:
        """Score by differences of cosines, in [-2, 2]."""
        projected = self.visual.ln_post(tokens[:, -1].to(self.text.device))
        if self.visual.proj is not None:
            projected = projected @ self.visual.proj
        cosine = F.normalize(projected, dim=-1) @ self.text.T
        maps = _upsampled(cosine[..., 1] - cosine[..., 0])
        return Scored(maps=maps, scores=maps.flatten(1).amax(1))


def baselines_for(presets: Sequence[Preset]) -> list[Method]:
    """Return both baselines in every geometry that the presets use."""
    found: list[Method] = []
    for geometry in dict.fromkeys(preset.geometry for preset in presets):
        found += [NearestNeighbour(geometry), ZeroShot(geometry)]
    return found


def _left_out_scores(
    joined: Tensor, units: Sequence[int], *, bank: Tensor, owner: Tensor
) -> tuple[float, ...] | None:
    if len(set(owner.tolist())) < 2:
        return None
    best: dict[int, float] = {}
    for patches, unit in zip(joined, units, strict=True):
        distances = nearest_distances(patches, bank, allowed=owner != unit)
        best[unit] = max(best.get(unit, 0.0), float(_highest(distances[None])))
    return tuple(best[unit] for unit in sorted(best))


def _highest(distances: Tensor) -> Tensor:
    return distances.topk(min(HIGHEST_PATCHES, distances.shape[1]), dim=1).values.mean(1)


def _upsampled(patches: Tensor) -> Tensor:
    """Upsample one value for each patch, (N, P), to maps (N, 224, 224) on the CPU."""
    grid = math.isqrt(patches.shape[1])
    maps = patches.reshape(-1, 1, grid, grid)
    size = (IMAGE_SIZE, IMAGE_SIZE)
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0].cpu()
