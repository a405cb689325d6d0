"""The k-shot fine-tune of adapters and prompts on synthetic anomalies (MediCLIP Eq. 3)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.losses import medical_anomaly_loss
from ai_core.model import Adapters, fuse, similarities
from ai_core.pool import Pool, build_pool, support_order
from ai_core.presets import Preset
from ai_core.prompts import LearnablePrompts, TextTower

STREAM_IMAGES = 64
"""Fresh synthetic images that are held at once where nothing is pooled."""


@dataclass(frozen=True, slots=True)
class FitProgress:
    """How far a fit has come.

    Attributes:
        stage: "encode" while images go through the frozen tower, "train" while weights learn.
        step: steps done in this stage.
        steps: steps of this stage in all.
        loss: the latest loss, or None outside training.
    """

    stage: str
    step: int
    steps: int
    loss: float | None = None


Progress = Callable[[FitProgress], None]
"""Receives a `FitProgress` now and then; runs in the fitting thread."""


@dataclass(frozen=True, slots=True)
class Head:
    """What fitting leaves: adapters and two unit vectors.

    Attributes:
        adapters: one linear map per tapped block.
        text: {normal, anomaly}, float32, shape (2, embed_dim).
    """

    adapters: Adapters
    text: Tensor


def silent(_: FitProgress) -> None:
    """A progress callback that does nothing."""


def make_pool(
    images: Tensor,
    *,
    folds: Tensor,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Pool:
    """Build the preset's pool of cached synthetic features over a support set.

    Args:
        images: the support set, float32 in [0, 1], shape (k, 3, H, W).
        folds: fold of each support image, int64, shape (k,).
        backbone: the frozen tower.
        preset: says how many and what.
        generator: the source of every draw.
        progress: told after every batch.
    """
    order = support_order(len(images), preset.training.pool_images, generator=generator)
    parts = []
    step = backbone.batch_size
    for start in range(0, len(order), step):
        parts.append(
            build_pool(
                images,
                order[start : start + step],
                folds=folds,
                backbone=backbone,
                settings=preset.synthesis,
                label_side=preset.training.loss_side,
                generator=generator,
            )
        )
        progress(FitProgress("encode", min(start + step, len(order)), len(order)))
    return Pool(
        tokens=torch.cat([part.tokens for part in parts]),
        labels=torch.cat([part.labels for part in parts]),
        folds=torch.cat([part.folds for part in parts]),
    )


class Trainer:
    """Adapters and prompts under one optimiser.

    Args:
        backbone: the frozen towers.
        preset: optimiser and model settings.
        normal_tokens: patch tokens of the clean support set, (k, blocks, patches, width).
        generator: draws the start of adapters and prompts.
    """

    def __init__(
        self,
        backbone: Backbone,
        preset: Preset,
        *,
        normal_tokens: Tensor,
        generator: torch.Generator,
    ) -> None:
        self._preset = preset
        training = preset.training
        self._adapters = Adapters(
            blocks=len(backbone.blocks),
            width=backbone.width,
            embed_dim=backbone.embed_dim,
            generator=generator,
        ).to(backbone.device)
        if training.standardise:
            self._adapters.standardise(normal_tokens)
        self._prompts = LearnablePrompts(
            TextTower(backbone.model), context=preset.context, generator=generator
        )
        self._parameters = [*self._adapters.parameters(), *self._prompts.parameters()]
        self._optimiser = torch.optim.Adam(
            self._parameters, lr=training.learning_rate, betas=training.betas
        )
        self._sums = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._summed = 0

    def update(self, tokens: Tensor, labels: Tensor) -> float:
        """One optimiser step on a batch; returns its loss."""
        preset = self._preset
        adapted = self._adapters(tokens.float())
        maps = fuse(
            similarities(adapted, self._prompts()),
            temperature=preset.temperature,
            side=labels.shape[-1],
            fusion=preset.fusion,
            align_corners=preset.align_corners,
        )
        target = (labels >= 0.5).float()
        loss = medical_anomaly_loss(maps, target, gamma=preset.training.focal_gamma)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def remember(self) -> None:
        """Take the present weights into the average."""
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            total += parameter
        self._summed += 1

    @torch.no_grad()
    def finish(self) -> Head:
        """The averaged weights, or the last ones where none were remembered."""
        if self._summed:
            for total, parameter in zip(self._sums, self._parameters, strict=True):
                parameter.copy_(total / self._summed)
        self._adapters.freeze()
        return Head(adapters=self._adapters, text=self._prompts().detach())


def train_on_pool(
    pool: Pool,
    *,
    normal_tokens: Tensor,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Head:
    """Fit a head on cached features alone; no image passes the tower.

    Args:
        pool: cached synthetic features.
        normal_tokens: patch tokens of the clean support set, (k, blocks, patches, width).
        backbone: gives the text tower and the shapes.
        preset: says how.
        generator: draws the start and the batches.
        progress: told now and then.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=normal_tokens, generator=generator)
    remember_from = round(training.updates * (1 - training.average_last))
    batches = -(-len(pool) // training.batch)
    for update in range(training.updates):
        turn = update % batches
        if turn == 0:
            order = torch.randperm(len(pool), generator=generator)
        chosen = order[turn * training.batch : (turn + 1) * training.batch]
        loss = trainer.update(pool.tokens[chosen], pool.labels[chosen])
        if training.average_last and update >= remember_from:
            trainer.remember()
        if update % 10 == 9 or update + 1 == training.updates:
            progress(FitProgress("train", update + 1, training.updates, loss))
    return trainer.finish()


def train_on_stream(
    images: Tensor,
    *,
    normal_tokens: Tensor,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Head:
    """Fit a head on synthetic images that are each seen once, as the authors do.

    Args:
        images: the support set, float32 in [0, 1], shape (k, 3, H, W).
        normal_tokens: patch tokens of the clean support set, (k, blocks, patches, width).
        backbone: the frozen towers.
        preset: says how.
        generator: the source of every draw.
        progress: told now and then.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=normal_tokens, generator=generator)
    k = len(images)
    order = support_order(k, k * training.epochs, generator=generator)
    updates = -(-len(order) // training.batch)
    remember_from = round(updates * (1 - training.average_last))
    one_fold = torch.zeros(k, dtype=torch.int64)
    done = 0
    chunk_size = max(STREAM_IMAGES // training.batch, 1) * training.batch
    for chunk in torch.split(order, chunk_size):
        pool = build_pool(
            images,
            chunk,
            folds=one_fold,
            backbone=backbone,
            settings=preset.synthesis,
            label_side=training.loss_side,
            generator=generator,
        )
        for start in range(0, len(pool), training.batch):
            batch = slice(start, start + training.batch)
            loss = trainer.update(pool.tokens[batch], pool.labels[batch])
            done += 1
            if training.average_last and done > remember_from:
                trainer.remember()
        progress(FitProgress("train", done, updates, loss))
    return trainer.finish()


def encode_all(images: Tensor, *, backbone: Backbone) -> Tensor:
    """Patch tokens of clean images, batch by batch, shape (k, blocks, patches, width)."""
    batches = torch.split(images, backbone.batch_size)
    return torch.cat([backbone.encode(batch).tokens for batch in batches])
