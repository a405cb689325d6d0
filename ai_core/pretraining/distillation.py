"""Distillation loss: the teacher's tokens at the same relative depths, and its embedding."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ai_core.backbone import CLIP_MEAN, CLIP_STD, Backbone, at_patches, run_tower
from ai_core.pretraining.settings import PretrainingSettings
from ai_core.pretraining.student import student_blocks

_TINY = 1e-6
"""Smallest deviation of a teacher's channel."""


@dataclass(frozen=True, slots=True)
class TeacherFeatures:
    """The teacher's tokens and embedding of a batch.

    Attributes:
        tokens: on the student's grid, float32, shape (N, blocks, patches, width).
        embedding: float32, shape (N, embed_dim).
    """

    tokens: Tensor
    embedding: Tensor


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one update.

    Attributes:
        total: what was minimised.
        tokens: 1 - cosine of the patch tokens, averaged over blocks and patches; 0 to 2.
        embedding: 1 - cosine of the global embedding; 0 to 2.
    """

    total: float
    tokens: float
    embedding: float


def encode_by_teacher(teacher: Backbone, images: Tensor, *, grid: int) -> TeacherFeatures:
    """Encode images, float32 RGB in [0, 1], by the teacher; tokens are resampled to a grid."""
    encoded = teacher.encode(images)
    tokens = encoded.tokens
    if teacher.grid != grid:
        count, blocks, _, width = tokens.shape
        flat = tokens.flatten(0, 1).transpose(1, 2)
        square = flat.reshape(count * blocks, width, teacher.grid, teacher.grid)
        square = F.interpolate(square, (grid, grid), mode="bilinear", align_corners=False)
        tokens = square.flatten(2).transpose(1, 2).view(count, blocks, grid**2, width)
    return TeacherFeatures(tokens=tokens, embedding=encoded.embedding)


def standards(seen: TeacherFeatures) -> dict[str, Tensor]:
    """Compute mean and deviation of each of the teacher's channels.

    A ViT's residual stream has a few channels that are far larger than all others; a cosine would
    see little else.
    """
    return {
        "tokens_mean": seen.tokens.mean(dim=(0, 2)),
        "tokens_std": seen.tokens.std(dim=(0, 2), correction=0).clamp(min=_TINY),
        "embedding_mean": seen.embedding.mean(dim=0),
        "embedding_std": seen.embedding.std(dim=0, correction=0).clamp(min=_TINY),
    }


class Heads(nn.Module):
    """Linear maps from the student's channels to the teacher's, discarded after training.

    Args:
        visual: the student's vision tower.
        teacher: whose channels are aimed at.
        generator: draws the start.
    """

    def __init__(self, visual: Any, teacher: Backbone, *, generator: torch.Generator) -> None:
        super().__init__()
        width = int(visual.conv1.weight.shape[0])
        blocks = len(student_blocks(visual))
        self.tokens = nn.ModuleList(
            _linear(width, teacher.width, generator=generator) for _ in range(blocks)
        )
        self.embedding = _linear(int(visual.output_dim), teacher.embed_dim, generator=generator)


class Distiller(nn.Module):
    """Student, heads, and the loss between student and teacher.

    Args:
        visual: the student's vision tower.
        heads: its maps to the teacher's channels.
        standard: as `standards` gives it.
        embedding_weight: weight of the global embedding.
    """

    def __init__(
        self,
        visual: nn.Module,
        heads: Heads,
        *,
        standard: Mapping[str, Tensor],
        embedding_weight: float,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.heads = heads
        self._blocks = student_blocks(visual)
        self._standard = dict(standard)
        self._embedding_weight = embedding_weight
        place = next(iter(standard.values())).device
        self._mean = torch.tensor(CLIP_MEAN, device=place).view(1, 3, 1, 1)
        self._std = torch.tensor(CLIP_STD, device=place).view(1, 3, 1, 1)

    def forward(
        self, images: Tensor, seen: TeacherFeatures, *, patches: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute total, token and embedding loss of a batch, scalars with gradients.

        Args:
            images: float32 RGB in [0, 1], shape (N, 3, 224, 224).
            seen: what the teacher says of them.
            patches: those that the student gets to see, as `run_tower` takes them.
        """
        x = (images - self._mean) / self._std
        tokens, embedding = run_tower(self.visual, x, blocks=self._blocks, patches=patches)
        standard = self._standard
        parts = []
        for place, head in enumerate(self.heads.tokens):
            aim = seen.tokens[:, place]
            if patches is not None:
                aim = at_patches(aim, patches)
            aim = (aim - standard["tokens_mean"][place]) / standard["tokens_std"][place]
            parts.append(_distance(head(tokens[:, place]), aim))
        of_tokens = torch.stack(parts).mean()
        aim = (seen.embedding - standard["embedding_mean"]) / standard["embedding_std"]
        of_embedding = _distance(self.heads.embedding(embedding), aim)
        return of_tokens + self._embedding_weight * of_embedding, of_tokens, of_embedding


def learning_rate(step: int, settings: PretrainingSettings) -> float:
    """Compute the rate of update ``step``, from 0: a linear rise, then half a cosine to 0."""
    rise = round(settings.warmup * settings.steps)
    if step < rise:
        return settings.learning_rate * (step + 1) / (rise + 1)
    share = (step - rise) / max(1, settings.steps - rise)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def make_optimiser(distiller: Distiller, settings: PretrainingSettings) -> torch.optim.AdamW:
    """Make AdamW; biases, norms and the class token do not decay."""
    matrices = [p for p in distiller.parameters() if p.ndim > 1]
    vectors = [p for p in distiller.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


def _distance(found: Tensor, aim: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(found, aim, dim=-1)).mean()


@torch.no_grad()
def _linear(inputs: int, outputs: int, *, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    noise = torch.randn(outputs, inputs, generator=generator)
    layer.weight.copy_(noise / math.sqrt(inputs))
    layer.bias.zero_()
    return layer
