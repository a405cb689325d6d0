"""The k-shot fine-tune of adapters and prompts on synthetic anomalies (MediCLIP Eq. 3)."""

import torch
from torch import Tensor

from ai_core.backbone import Backbone
from ai_core.fitting.pool import Pool, build_pool, prefetch, support_order
from ai_core.fitting.support import Support
from ai_core.fitting.trainer import Trainer
from ai_core.model import Head, PatchBank, Scope, fit_patch_bank
from ai_core.presets import Preset
from ai_core.progress import FitProgress, Progress, silent
from ai_core.scope import GuardFit

STREAM_IMAGES = 64
"""Fresh synthetic images that are held at once where nothing is pooled."""

GUARD_ANOMALIES = 32
"""Synthetic anomalies, at least, that the scope guard leaves in scope where nothing is pooled."""


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
        described=True,
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
    scope: Scope | None = None,
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
        scope: that several heads share; by default one is fitted to the support set.
    """
    if pool is None:
        return train_on_stream(
            support,
            backbone=backbone,
            preset=preset,
            generator=generator,
            progress=progress,
            patch_bank=patch_bank,
            scope=scope,
        )
    return train_on_pool(
        pool,
        support=support,
        backbone=backbone,
        preset=preset,
        generator=generator,
        progress=progress,
        patch_bank=patch_bank,
        scope=scope,
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
    scope: Scope | None = None,
) -> Head:
    """Fit a head on cached features alone; no image passes the tower.

    Args:
        pool: cached synthetic features.
        support: the support set that the pool was made from.
        backbone: gives the text tower and the shapes.
        preset: says how.
        generator: draws the start and the batches.
        progress: called now and then.
        patch_bank, scope: as in `train_head`.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=support.encoded.tokens, generator=generator)
    scope = (
        scope
        or fit_guard(support, pool, preset=preset, backbone=backbone, generator=generator).finish()
    )
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
    scope: Scope | None = None,
) -> Head:
    """Fit a head on synthetic images that are each seen once, as the authors do.

    An epoch makes one synthetic image of each normal one; no batch reaches into the next epoch.

    Args:
        support: the support set.
        backbone: the frozen towers.
        preset: says how.
        generator: the source of every draw.
        progress: called now and then.
        patch_bank, scope: as in `train_head`.
    """
    training = preset.training
    trainer = Trainer(backbone, preset, normal_tokens=support.encoded.tokens, generator=generator)
    patch_bank = patch_bank or support_bank(support, preset=preset, generator=generator)
    scope = (
        scope
        or fit_guard(support, None, preset=preset, backbone=backbone, generator=generator).finish()
    )
    if not trainer.learns:
        return trainer.finish(scope, patch_bank)
    k = len(support)
    one_fold = torch.zeros(k, dtype=torch.int64)
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
        for epoch in torch.split(torch.arange(len(pool)), k):
            for positions in torch.split(epoch, training.batch):
                loss = trainer.update(*pool.batch(positions))
                done += 1
                if training.average_last and done > average_from:
                    trainer.accumulate_average()
        progress(FitProgress("train", done, updates, float(loss)))
    return trainer.finish(scope, patch_bank)


def fit_guard(
    support: Support,
    pool: Pool | None,
    *,
    preset: Preset,
    backbone: Backbone,
    generator: torch.Generator,
) -> GuardFit:
    """Fit the scope guard of a support set.

    It draws by a generator of its own, of the same seed, so that it changes no head.

    Args:
        support: the support set.
        pool: synthetic anomalies of it, which the guard leaves in scope; where the preset pools
            none, or has not described them, a few are made.
        preset: says how anomalies are drawn.
        backbone: the frozen tower.
        generator: its seed is taken, and no draw.
    """
    own = torch.Generator().manual_seed(generator.initial_seed())
    if pool is None or pool.facts is None:
        count = max(GUARD_ANOMALIES, len(support))
        pool = build_pool(
            support,
            support_order(len(support), count, generator=own),
            folds=torch.zeros(len(support), dtype=torch.int64),
            backbone=backbone,
            settings=preset.synthesis,
            label_side=preset.training.loss_side,
            generator=own,
            described=True,
        )
    assert pool.facts is not None
    return GuardFit(
        support.images,
        support.facts,
        support.groups,
        anomalies=pool.facts.part(pool.rows),
        anomaly_groups=pool.groups[pool.rows],
        generator=own,
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
