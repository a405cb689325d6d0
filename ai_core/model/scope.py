"""Scope by the global embedding: the rule of detectors that were fitted before version 0.2."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.scope import ImageFacts, ScopeAnswer


@dataclass(frozen=True, slots=True)
class EmbeddingScope:
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

    def to_tensors(self) -> dict[str, Tensor]:
        """Return every tensor under the name that it has in a saved detector."""
        return {"scope.embeddings": self.embeddings, "scope.limit": self.limit}

    def judge(self, facts: ImageFacts) -> ScopeAnswer:
        """Judge images by their global embedding alone."""
        near = self.contains(facts.embedding)
        return ScopeAnswer(torch.where(near, 0.0, 2.0)[:, None].float())


def _distances(embedding: Tensor, units: Tensor) -> Tensor:
    """Compute cosine distances, (N, D) to (n, D), accurate also far below 1."""
    vectors = F.normalize(embedding.float(), dim=-1).to(units.device)
    # 1 - cos would round to nothing what the difference of two unit vectors still holds
    apart = torch.cdist(vectors, units, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.square() / 2
