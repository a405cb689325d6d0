"""Free text vectors, for towers whose text half takes no prompts."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.model.prompts import LearnablePrompts, TextTower
from ai_core.model.settings import PromptSettings


class FreeTextVectors(nn.Module):
    """Two learnable unit vectors {normal, anomaly} in place of the prompts of MediCLIP Eq. 1.

    Args:
        embed_dim: channels of a vector.
        generator: draws their start, uniform over directions.
        device: where they are kept.
    """

    learns = True

    def __init__(
        self, embed_dim: int, *, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        super().__init__()
        start = F.normalize(torch.randn(2, embed_dim, generator=generator), dim=-1)
        self.vectors = nn.Parameter(start.to(device))

    def forward(self) -> Tensor:
        """Return the two unit vectors {normal, anomaly}, shape (2, embed_dim)."""
        return F.normalize(self.vectors, dim=-1)


def make_text_vectors(
    model: Any,
    *,
    embed_dim: int,
    settings: PromptSettings,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> LearnablePrompts | FreeTextVectors:
    """Make learnable prompts over a model's text tower, or free vectors where it has none.

    Args:
        model: an open_clip model, or its vision half alone.
        embed_dim: channels of a text feature.
        settings: how prompts are made; unused for free vectors.
        generator: draws the start.
        device: the model's.
    """
    if hasattr(getattr(model, "text", model), "token_embedding"):
        return LearnablePrompts(TextTower(model), settings=settings, generator=generator)
    return FreeTextVectors(embed_dim, generator=generator, device=device)
