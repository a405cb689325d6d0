"""Scope: whether an image resembles the support set, by its global embedding.

A coarse guard, made to leave lesions alone: with few normals, and with some backbones, an image of
another modality may pass it. Routing is what keeps those away.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

SLACK = 1.5
"""Factor on the support set's own largest distance within which an image is in scope."""

SYNTHETIC_SHARE = 0.9
"""Share of the synthetic anomalies that count as in scope: a lesion moves an image away from the
normal ones, and must not put it out of scope."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Global embeddings of a support set, and the largest distance to them that is in scope.

    Attributes:
        embeddings: unit vectors, float32, shape (n, embed_dim).
        limit: largest cosine distance to the nearest of them, float32, shape ().
    """

    embeddings: Tensor
    limit: Tensor

    def contains(self, embedding: Tensor) -> Tensor:
        """Return which images are in scope, bool on the CPU, shape (N,).

        Args:
            embedding: global embeddings of N images, any length, shape (N, embed_dim).
        """
        return (_distances(embedding, self.embeddings).amin(1) <= self.limit).cpu()

    def widened(self, distance: float) -> "Scope":
        """Return a scope that includes images this far from the normals of other studies."""
        limit = torch.full_like(self.limit, SLACK * distance)
        return replace(self, limit=torch.maximum(self.limit, limit))


def farthest_distance(embedding: Tensor, others: Tensor) -> float:
    """Compute the largest cosine distance of any of the images to the nearest of the others.

    Args:
        embedding: global embeddings of the images, shape (N, embed_dim), N at least 1.
        others: global embeddings of the others, shape (n, embed_dim), n at least 1.
    """
    return float(_distances(embedding, F.normalize(others.float(), dim=-1)).amin(1).amax())


def fit_scope(
    embedding: Tensor,
    groups: Tensor,
    *,
    synthetic: Tensor | None = None,
    synthetic_groups: Tensor | None = None,
) -> Scope:
    """Fit the scope of a support set.

    Every image, and every synthetic anomaly, is held against the nearest normal image of another
    group. The farthest image, or the farthest of `SYNTHETIC_SHARE` of the anomalies if that is
    farther, times `SLACK` is the limit. Slices of one study resemble each other, so they are one
    group. A support set of one group is held against itself, image by image.

    Args:
        embedding: global embeddings of the support set, shape (n, embed_dim), n at least 2.
        groups: group of each image, int64, shape (n,).
        synthetic: global embeddings of synthetic anomalies, shape (m, embed_dim).
        synthetic_groups: group of the image below each of them, int64, shape (m,).
    """
    units = F.normalize(embedding.float(), dim=-1)
    groups = groups.to(units.device)
    alone = bool((groups == groups[0]).all())
    own = torch.arange(len(units), device=units.device) if alone else groups
    limit = _nearest_of_another(units, units, own, own).amax()
    if synthetic is not None and synthetic_groups is not None and not alone:
        distances = _nearest_of_another(synthetic, units, synthetic_groups.to(own), own)
        limit = torch.maximum(limit, distances.quantile(SYNTHETIC_SHARE))
    return Scope(embeddings=units, limit=SLACK * limit)


def _nearest_of_another(
    embedding: Tensor, units: Tensor, groups: Tensor, unit_groups: Tensor
) -> Tensor:
    distances = _distances(embedding, units)
    return distances.masked_fill(groups[:, None] == unit_groups[None, :], torch.inf).amin(1)


def _distances(embedding: Tensor, units: Tensor) -> Tensor:
    """Compute cosine distances, (N, D) to (n, D), accurate also far below 1."""
    vectors = F.normalize(embedding.float(), dim=-1).to(units.device)
    # 1 - cos would round to nothing what the difference of two unit vectors still holds
    apart = torch.cdist(vectors, units, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.square() / 2
