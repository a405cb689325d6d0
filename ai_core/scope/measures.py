"""Measures of foreignness: distances from the support set, and discriminators of alterations.

A distance is that of Mahalanobis with a covariance shrunk towards a multiple of the identity
(Ledoit and Wolf, 2004), as k images span few of the directions. A discriminator is a ridge
regression of 0 (support set) and 1 (one alteration of it). Both are fitted in the dual: there are
fewer images than numbers of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.scope.facts import ImageFacts
from ai_core.scope.pixels import SHAPE_PARTS

KINDS = ("content", "grey levels", "shape")
"""Kinds of measures: of tokens, of grey statistics, of foreground shape and place."""

Altered = Mapping[str, tuple[Tensor, Tensor]]
"""Altered copies by the alteration's name: grey and shape statistics, shapes (n, 36), (n, 497)."""

_TINY = 1e-6
_LEAST_SCALE = 1e-3
_RIDGE = 1.0
_SHRINK_DISTANCE = 0.1
_SHRINK_DISCRIMINATOR = 0.2


@dataclass(frozen=True, slots=True)
class Distance:
    """Log of the shrunk Mahalanobis distance per channel.

    Attributes:
        centre: mean of the support set, shape (D,).
        scale: deviation of each channel, shrunk towards their mean, shape (D,).
        directions: unit vectors, shape (r, D).
        gains: share of the squared distance along each direction that is usual, shape (r,).
        level: variance in every other direction, shape ().
    """

    centre: Tensor
    scale: Tensor
    directions: Tensor
    gains: Tensor
    level: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Measure images, (N, D) to (N,)."""
        apart = (values - self.centre) / self.scale
        along = (apart @ self.directions.T).square() @ self.gains
        squared = (apart.square().sum(1) - along) / self.level / values.shape[1]
        return squared.clamp(min=_TINY**2).log() / 2


def fit_distance(values: Tensor) -> Distance:
    """Fit a distance to the support set's values, shape (n, D)."""
    centre, scale = _standards(values, shrink=_SHRINK_DISTANCE)
    apart = (values - centre) / scale / len(values) ** 0.5
    _, spread, directions = torch.linalg.svd(apart, full_matrices=False)
    variances = spread.square()
    level = variances.sum() / values.shape[1] + _TINY
    return Distance(centre, scale, directions, variances / (variances + level), level)


@dataclass(frozen=True, slots=True)
class Discriminators:
    """Linear discriminators of the support set from each of its alterations.

    Attributes:
        weights: one row for each, shape (F, D).
        offsets: shape (F,).
    """

    weights: Tensor
    offsets: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Measure images, (N, D) to (N, F); 0 is the support set, 1 the alteration."""
        return values @ self.weights.T + self.offsets

    def part(self, chosen: Tensor) -> "Discriminators":
        """Return the discriminators that a bool mask chooses."""
        return Discriminators(self.weights[chosen], self.offsets[chosen])


def fit_discriminators(
    values: Tensor, altered: Sequence[Tensor], *, blocks: Sequence[int]
) -> Discriminators:
    """Fit one discriminator for each alteration.

    Args:
        values: of the support set, shape (n, D).
        altered: of its copies under each alteration, shape (m, D), m at least 1.
        blocks: widths of the channels that belong together, in sum D; each block counts alike.
    """
    parts = [
        _standards(part, shrink=_SHRINK_DISCRIMINATOR)
        for part in torch.split(values, list(blocks), 1)
    ]
    centre = torch.cat([centre for centre, _ in parts])
    scale = torch.cat([scale * (len(scale) * len(parts)) ** 0.5 for _, scale in parts])
    normal = (values - centre) / scale
    found = [_ridge(normal, (copies - centre) / scale) for copies in altered]
    weights = torch.stack([weight for weight, _ in found]) / scale
    offsets = torch.stack([offset for _, offset in found]) - weights @ centre
    return Discriminators(weights, offsets)


def _ridge(normal: Tensor, altered: Tensor) -> tuple[Tensor, Tensor]:
    """Regress 0 and 1 on both classes, each of half the weight."""
    both = torch.cat([normal, altered])
    target = torch.cat([torch.zeros(len(normal)), torch.ones(len(altered))])
    weight = torch.cat([torch.full((len(part),), 0.5 / len(part)) for part in (normal, altered)])
    middle = weight @ both
    apart = both - middle
    gram = apart @ apart.T
    ridge = _RIDGE * (gram.diagonal() @ weight) + _TINY
    dual = torch.linalg.solve(torch.diag(ridge / weight) + gram, target - weight @ target)
    direction = dual @ apart
    return direction, weight @ target - direction @ middle


def _standards(values: Tensor, *, shrink: float) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, the latter shrunk towards that of all channels."""
    variance = values.var(0, correction=1) if len(values) > 1 else torch.zeros_like(values[0])
    shrunk = (1 - shrink) * variance + shrink * variance.mean()
    smallest = _LEAST_SCALE * values.square().mean().sqrt() + _TINY  # pictures may be identical
    return values.mean(0), shrunk.sqrt() + smallest


@dataclass(frozen=True, slots=True)
class Measures:
    """All measures of foreignness of one support set.

    Attributes:
        distances: of `distance_values`, in their order.
        grey: discriminators on the grey statistics.
        shape: discriminators on the shape statistics.
    """

    distances: tuple[Distance, ...]
    grey: Discriminators
    shape: Discriminators

    def __call__(self, facts: ImageFacts) -> Tensor:
        """Measure images, shape (N, M): distances first, then discriminators."""
        far = [
            distance(values)
            for distance, (_, values) in zip(self.distances, distance_values(facts), strict=True)
        ]
        return torch.cat(
            [torch.stack(far, dim=1), self.grey(facts.grey), self.shape(facts.shape)], dim=1
        )

    @property
    def kinds(self) -> list[int]:
        """Position in `KINDS` of each measure."""
        return [
            *_DISTANCE_KINDS,
            *[1] * len(self.grey.offsets),
            *[2] * len(self.shape.offsets),
        ]

    def part(self, chosen: Tensor) -> "Measures":
        """Return the measures that a bool mask of shape (M,) chooses; distances all stay."""
        grey, shape = torch.split(
            chosen[len(self.distances) :], [len(self.grey.offsets), len(self.shape.offsets)]
        )
        return Measures(self.distances, self.grey.part(grey), self.shape.part(shape))


_DISTANCE_KINDS = (0, 0, 0, 1, 2, 2, 2)

EMBEDDING = 2
"""Position of the distance of global embeddings among the measures."""


def distance_values(facts: ImageFacts) -> list[tuple[int, Tensor]]:
    """Return the values that distances are taken of, each with its position in `KINDS`."""
    foreground, _, _, picture, edges = torch.split(facts.shape, list(SHAPE_PARTS), 1)
    values = (
        facts.means,
        facts.deviations,
        facts.embedding,
        facts.grey,
        foreground,
        picture,
        edges,
    )
    return list(zip(_DISTANCE_KINDS, values, strict=True))


def fit_measures(facts: ImageFacts, altered: Altered) -> Measures:
    """Fit all measures to a support set.

    Args:
        facts: of the support set, at least 1 image.
        altered: of its altered copies, the same alterations at every call.
    """
    return Measures(
        distances=tuple(fit_distance(values) for _, values in distance_values(facts)),
        grey=fit_discriminators(
            facts.grey, [grey for grey, _ in altered.values()], blocks=(facts.grey.shape[1],)
        ),
        shape=fit_discriminators(
            facts.shape, [shape for _, shape in altered.values()], blocks=SHAPE_PARTS
        ),
    )
