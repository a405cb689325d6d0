"""The k-shot fine-tune of adapters and prompts on synthetic anomalies (MediCLIP Eq. 3)."""

import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.fitting.pool import Pool, build_pool, prefetch, support_order
from ai_core.fitting.support import Support
from ai_core.fitting.trainer import Trainer
from ai_core.model import Head, PatchBank, Scope, fit_patch_bank, fit_scope
from ai_core.presets import Preset
from ai_core.progress import FitProgress, Progress, silent

STREAM_IMAGES = 64
"""Fresh synthetic images that are held at once where nothing is pooled."""


def make_pool(
    support: Support,
    *,
    folds: Tensor | None = None,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
) -> Pool | None:
    """Build the preset's pool of cached synthetic features over a support set.

    Args:
        support: the support set.
        folds: fold of each of its images, int64, shape (k,); by default they are all one fold.
        backbone: the frozen tower.
        preset: says how many and what.
        generator: the source of every draw.
        progress: called after every batch.

    Returns:
        The pool; None where the preset pools nothing.
    """
    if not preset.training.pool_images:
        return None
    count = max(preset.training.pool_images, len(support))
    return build_pool(
        support,
        support_order(len(support), count, generator=generator),
        folds=torch.zeros(len(support), dtype=torch.int64) if folds is None else folds,
        backbone=backbone,
        settings=preset.synthesis,
        label_side=preset.training.loss_side,
        generator=generator,
        progress=progress,
    )


def train_head(
    support: Support,
    *,
    pool: Pool | None,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
    patch_bank: PatchBank | None = None,
) -> Head:
    """Fit a head on a pool of cached features, or on fresh images where there is none.

    Args:
        support: the support set.
        pool: cached synthetic features of it, or None.
        backbone: the frozen towers.
        preset: says how.
        generator: the source of every draw.
        progress: called now and then.
        patch_bank: that several heads share; by default one is filled from the support set, where
            the preset keeps one.
    """
    if pool is None:
        return train_on_stream(
            support,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
            patch_bank=patch_bank,
        )
    return train_on_pool(
        pool,
        support=support,
        backbone=backbone,
        preset=preset,
        generator=generator,
        progress=progress,
        patch_bank=patch_bank,
    )


def train_on_pool(
    pool: Pool,
    *,
    support: Support,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
    patch_bank: PatchBank | None = None,
) -> Head:
    """Fit a head on cached features alone; no image passes the tower.

    Args:
        pool: cached synthetic features.
        support: the support set that the pool was made from.
        backbone: gives the text tower and the shapes.
        preset: says how.
        generator: draws the start and the batches.
        progress: called now and then.
        patch_bank: as in `train_head`.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=support.encoded.tokens, generator=generator)
    scope = support_scope(support, pool)
    patch_bank = patch_bank or support_bank(support, preset=preset, generator=generator)
    if not trainer.learns:
        return trainer.finish(scope, patch_bank)
    average_from = round(training.updates * (1 - training.average_last))
    batches = -(-len(pool) // training.batch)
    for update in range(training.updates):
        turn = update % batches
        if turn == 0:
            order = torch.randperm(len(pool), generator=generator)
        chosen = order[turn * training.batch : (turn + 1) * training.batch]
        loss = trainer.update(*pool.batch(chosen))
        if training.average_last and update >= average_from:
            trainer.accumulate_average()
        if update % 10 == 9 or update + 1 == training.updates:
            progress(FitProgress("train", update + 1, training.updates, float(loss)))
    return trainer.finish(scope, patch_bank)


def train_on_stream(
    support: Support,
    *,
    backbone: Backbone,
    preset: Preset,
    generator: torch.Generator,
    progress: Progress = silent,
    patch_bank: PatchBank | None = None,
) -> Head:
    """Fit a head on synthetic images that are each seen once, as the authors do.

    An epoch makes one synthetic image of each normal one; no batch reaches into the next epoch.

    Args:
        support: the support set.
        backbone: the frozen towers.
        preset: says how.
        generator: the source of every draw.
        progress: called now and then.
        patch_bank: as in `train_head`.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=support.encoded.tokens, generator=generator)
    patch_bank = patch_bank or support_bank(support, preset=preset, generator=generator)
    if not trainer.learns:
        return trainer.finish(support_scope(support, None), patch_bank)
    k = len(support)
    one_fold = torch.zeros(k, dtype=torch.int64)
    scope: Scope | None = None
    updates, done = training.epochs * -(-k // training.batch), 0
    average_from = round(updates * (1 - training.average_last))
    held = max(STREAM_IMAGES // k, 1)
    pools = (
        build_pool(
            support,
            support_order(k, k * min(held, training.epochs - first), generator=generator),
            folds=one_fold,
            backbone=backbone,
            settings=preset.synthesis,
            label_side=training.loss_side,
            generator=generator,
        )
        for first in range(0, training.epochs, held)
    )
    for pool in prefetch(pools, device=backbone.device):
        scope = scope or support_scope(support, pool)
        for epoch in torch.split(torch.arange(len(pool)), k):
            for positions in torch.split(epoch, training.batch):
                loss = trainer.update(*pool.batch(positions))
                done += 1
                if training.average_last and done > average_from:
                    trainer.accumulate_average()
        progress(FitProgress("train", done, updates, float(loss)))
    return trainer.finish(scope or support_scope(support, None), patch_bank)


def support_scope(support: Support, pool: Pool | None) -> Scope:
    """Fit the scope of a support set, with the synthetic anomalies of its pool if there is one."""
    return fit_scope(
        support.encoded.embedding,
        support.groups,
        synthetic=None if pool is None else pool.embedding[pool.rows],
        synthetic_groups=None if pool is None else pool.groups[pool.rows],
    )


def support_bank(
    support: Support, *, preset: Preset, generator: torch.Generator
) -> PatchBank | None:
    """Fill the patch bank of a support set; None where the preset keeps none."""
    if preset.memory is None:
        return None
    return fit_patch_bank(
        support.encoded.tokens,
        support.groups,
        settings=preset.memory,
        generator=generator,
        series_places=support.series_places,
    )
