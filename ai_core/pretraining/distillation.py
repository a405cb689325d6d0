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

_COUNTED = 0.25
"""Share of a patch that is lesion from which its change counts."""

_NEAR = 0.02
"""Distance of unit tokens below which proportions hardly count."""

_RIDGE = 1e-3
_FIT_BATCH = 16


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
        difference: of the tokens' changes under lesions, as `difference_loss` gives it; 0 without.
    """

    total: float
    tokens: float
    embedding: float
    difference: float


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
        settings: weights of the losses, and precision of the student.
    """

    def __init__(
        self,
        visual: nn.Module,
        heads: Heads,
        *,
        standard: Mapping[str, Tensor],
        settings: PretrainingSettings,
    ) -> None:
        super().__init__()
        self.visual = visual
        self.heads = heads
        self._blocks = student_blocks(visual)
        self._standard = dict(standard)
        self._settings = settings
        place = next(iter(standard.values())).device
        self._mean = torch.tensor(CLIP_MEAN, device=place).view(1, 3, 1, 1)
        self._std = torch.tensor(CLIP_STD, device=place).view(1, 3, 1, 1)

    def forward(
        self,
        images: Tensor,
        seen: TeacherFeatures,
        *,
        patches: Tensor | None = None,
        lesion: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compute total, token, embedding and difference loss of a batch, scalars with gradients.

        Args:
            images: float32 RGB in [0, 1], shape (N, 3, 224, 224).
            seen: what the teacher says of them.
            patches: those that the student gets to see, as `run_tower` takes them.
            lesion: share of each patch that is lesion, shape (N / 3, patches), where the images
                are thirds without, with bright and with dark lesions.
        """
        tokens, embedding = self.encode(images, patches=patches)
        standard = self._standard
        parts, differences = [], []
        share = lesion if patches is None or lesion is None else _share_at(lesion, patches)
        for place, head in enumerate(self.heads.tokens):
            aim = seen.tokens[:, place]
            if patches is not None:
                aim = at_patches(aim, patches)
            aim = (aim - standard["tokens_mean"][place]) / standard["tokens_std"][place]
            found = tokens[:, place]
            mapped = head(found)
            parts.append(_distance(mapped, aim))
            if share is not None:
                differences.append(difference_loss(found, mapped, aim, share=share))
        of_tokens = torch.stack(parts).mean()
        aim = (seen.embedding - standard["embedding_mean"]) / standard["embedding_std"]
        of_embedding = _distance(self.heads.embedding(embedding), aim)
        of_difference = (
            torch.stack(differences).mean() if differences else torch.zeros_like(of_tokens)
        )
        settings = self._settings
        total = of_tokens + settings.embedding_weight * of_embedding
        if settings.difference_weight:
            total = total + settings.difference_weight * of_difference
        return total, of_tokens, of_embedding, of_difference

    def encode(self, images: Tensor, *, patches: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the student's tokens of the tapped blocks and its embedding, float32."""
        x = (images - self._mean) / self._std
        with torch.autocast(
            x.device.type, dtype=torch.bfloat16, enabled=self._settings.precision == "bf16"
        ):
            tokens, embedding = run_tower(self.visual, x, blocks=self._blocks, patches=patches)
        return tokens.float(), embedding.float()

    @torch.no_grad()
    def fit_heads(self, images: Tensor, seen: TeacherFeatures) -> None:
        """Set the heads by least squares, so that a trained student does not start with drawn ones.

        Args:
            images: float32 RGB in [0, 1], shape (N, 3, 224, 224).
            seen: what the teacher says of them.
        """
        encoded = [self.encode(batch) for batch in torch.split(images, _FIT_BATCH)]
        tokens = torch.cat([one for one, _ in encoded])
        standard = self._standard
        for place, head in enumerate(self.heads.tokens):
            aim = (seen.tokens[:, place] - standard["tokens_mean"][place]) / (
                standard["tokens_std"][place]
            )
            _fit_linear(head, tokens[:, place].flatten(0, 1), aim.flatten(0, 1))
        aim = (seen.embedding - standard["embedding_mean"]) / standard["embedding_std"]
        _fit_linear(self.heads.embedding, torch.cat([one for _, one in encoded]), aim)


def difference_loss(found: Tensor, mapped: Tensor, aim: Tensor, *, share: Tensor) -> Tensor:
    """Compare the changes that lesions make in one block's tokens of student and teacher.

    Two parts of equal weight. Direction: 1 - cosine of the change of the mapped tokens and that of
    the teacher's. Distance: variance of log(distance of the student's own unit tokens / distance
    of the teacher's), which is 0 when bright and dark, faint and strong lesions move the student's
    tokens in the teacher's proportions, whatever the scale.

    Args:
        found: the student's tokens; thirds without, with bright, with dark lesions,
            shape (3 N, patches, width).
        mapped: the same in the teacher's channels.
        aim: the teacher's, standardised, likewise.
        share: share of each patch that is lesion, shape (N, patches); from a quarter on it counts.
    """
    inside = (share >= _COUNTED).expand(2, *share.shape)
    if not bool(inside.any()):
        return mapped.sum() * 0
    weight = share.expand(2, *share.shape)[inside]
    weight = weight / weight.sum()

    def pairs(tokens: Tensor) -> tuple[Tensor, Tensor]:
        clean, *lesioned = tokens.chunk(3)
        return torch.stack(lesioned)[inside], clean.expand(2, *clean.shape)[inside]

    (map_with, map_without), (aim_with, aim_without) = pairs(mapped), pairs(aim)
    cosine = F.cosine_similarity(map_with - map_without, aim_with - aim_without, dim=-1)
    direction = (weight * (1 - cosine)).sum()
    log_ratio = _log_distance(*pairs(found)) - _log_distance(aim_with, aim_without)
    distance = (weight * (log_ratio - (weight * log_ratio).sum()).square()).sum()
    return direction + distance


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


def _log_distance(one: Tensor, other: Tensor) -> Tensor:
    """Compute the logarithm of the distance of unit vectors; finite, with gradient, at 0, too."""
    squares = (F.normalize(one, dim=-1) - F.normalize(other, dim=-1)).square().sum(dim=-1)
    return 0.5 * (squares + _NEAR**2).log()


def _share_at(lesion: Tensor, patches: Tensor) -> Tensor:
    return lesion.gather(1, patches[: len(lesion)])


def _fit_linear(layer: Any, inputs: Tensor, aim: Tensor) -> None:
    """Fit weight and bias by ridge regression, in float64."""
    inputs, aim = inputs.double(), aim.double()
    middle, target = inputs.mean(dim=0), aim.mean(dim=0)
    centred = inputs - middle
    gram = centred.T @ centred
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    weight = torch.linalg.solve(gram, centred.T @ (aim - target)).T
    layer.weight.copy_(weight)
    layer.bias.copy_(target - weight @ middle)


@torch.no_grad()
def _linear(inputs: int, outputs: int, *, generator: torch.Generator) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    noise = torch.randn(outputs, inputs, generator=generator)
    layer.weight.copy_(noise / math.sqrt(inputs))
    layer.bias.zero_()
    return layer
