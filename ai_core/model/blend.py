"""Blend: terms of the anomaly map, each brought to standard deviations of held-out normals.

Log-odds (Eq. 2), distance to the patch bank and mirror asymmetry are summed patch by patch. The
median of the sum is the image's level; it counts in deviations of the normals' own levels, so that
it weighs much where normal images resemble each other and little where they do not.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.model.settings import BlendSettings

LINEAR = 3.0
"""Deviations up to which a term grows linearly; beyond, as a logarithm."""

_USUAL_DEVIATION = 0.8
"""Deviation of the levels of normal images before any was seen, in deviations of the terms."""

_USUAL_COUNT = 2
"""Images that `_USUAL_DEVIATION` counts for: few normals alone say little about their spread."""


@dataclass(frozen=True, slots=True)
class Blend:
    """Means and deviations of the terms on normal images, each seen as a new one is.

    Attributes:
        settings: weights of the terms.
        odds_mean: mean log-odds of each head on normal patches that it did not see, shape (heads,).
        odds_deviation: their standard deviation, shape (heads,).
        mirror_mean: mean mirror asymmetry of normal patches, shape ().
        mirror_deviation: its standard deviation, shape ().
        levels: level of each support image, by the head that did not see it and without its own
            study's entries of the bank, shape (k,).
        level_owners: study of each, int64, shape (k,).
    """

    settings: BlendSettings
    odds_mean: Tensor
    odds_deviation: Tensor
    mirror_mean: Tensor
    mirror_deviation: Tensor
    levels: Tensor
    level_owners: Tensor

    def odds_deviations(self, odds: Tensor) -> Tensor:
        """Compute the log-odds above normal as the mean over the heads, shape (N, patches).

        Args:
            odds: log-odds of each head, shape (heads, N, patches).
        """
        mean, deviation = self.odds_mean[:, None, None], self.odds_deviation[:, None, None]
        return _bounded(((odds - mean) / deviation).mean(0))

    def mirror_deviations(self, tokens: Tensor) -> Tensor:
        """Compute the mirror asymmetry above normal, shape (N, patches)."""
        asymmetry = mirror_asymmetry(tokens, window=self.settings.mirror_window)
        return _bounded((asymmetry - self.mirror_mean) / self.mirror_deviation)

    def with_level(self, total: Tensor, *, without: int | None = None) -> Tensor:
        """Replace a share of each image's level by its deviations from those of normal images.

        Only where each study has one image. Slices of a series resemble each other so much that the
        most deviating level of many would hide a lesion that is small and strong.

        Args:
            total: weighted sum of the terms, shape (N, patches).
            without: a study of the support set whose own levels don't count.
        """
        share = self.settings.level_share
        if not share or len(set(self.level_owners.tolist())) < len(self.level_owners):
            return total
        level = total.median(1).values
        return total + share * (self._level_deviations(level, without) - level)[:, None]

    def of_head(self, number: int) -> "Blend":
        """Return the blend of one head alone."""
        return replace(
            self,
            odds_mean=self.odds_mean[number : number + 1],
            odds_deviation=self.odds_deviation[number : number + 1],
        )

    def _level_deviations(self, level: Tensor, without: int | None) -> Tensor:
        normal = self.levels if without is None else self.levels[self.level_owners != without]
        if not len(normal):
            return level
        mean = normal.mean()
        squares = (normal - mean).square().sum() + _USUAL_COUNT * _USUAL_DEVIATION**2
        return _bounded((level - mean) / (squares / (len(normal) - 1 + _USUAL_COUNT)).sqrt())


def mirror_asymmetry(tokens: Tensor, *, window: int) -> Tensor:
    """Compute the distance of each patch to the most similar one about its mirrored place.

    Organs that come in pairs look alike on both sides. Compared are unit vectors of the first
    tapped block, left with right.

    Args:
        tokens: as `Encoded.tokens`, shape (N, blocks, patches, width).
        window: patches along a side of the window about the mirrored place, odd.

    Returns:
        Distances in [0, 2], float32, shape (N, patches).
    """
    unit = F.normalize(tokens[:, 0].float(), dim=-1)
    far = ~_about_mirrored(math.isqrt(unit.shape[1]), window, device=unit.device)
    cosine = (unit @ unit.transpose(1, 2)).masked_fill(far, -1.0).amax(2)
    return (2 - 2 * cosine).clamp_min(0).sqrt()


@lru_cache(maxsize=8)
def _about_mirrored(side: int, window: int, *, device: torch.device) -> Tensor:
    """Return which patches are in the window about each one's mirrored place, (side², side²)."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    rows, columns = rows.flatten(), columns.flatten()
    down = (rows[:, None] - rows[None, :]).abs()
    across = (side - 1 - columns[:, None] - columns[None, :]).abs()
    return (torch.maximum(down, across) <= window // 2).to(device)


def _bounded(deviations: Tensor) -> Tensor:
    return LINEAR * torch.asinh(deviations / LINEAR)
