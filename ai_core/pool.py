"""Synthetic images made from a support set, and what the frozen tower says about them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.backbone import Backbone
from ai_core.synthesis import SynthesisSettings, synthesise_seeded


@dataclass(frozen=True, slots=True)
class Pool:
    """Cached features of synthetic images.

    Attributes:
        tokens: patch tokens, shape (M, blocks, patches, width); float16 to halve the memory.
        labels: share of anomalous pixels in each cell, float16, shape (M, side, side).
        embedding: global embeddings, float32, shape (M, embed_dim).
        folds: fold of the support image that a synthetic image was made from, int64, shape (M,).
        groups: study of that support image, int64, shape (M,).
    """

    tokens: Tensor
    labels: Tensor
    embedding: Tensor
    folds: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def without(self, fold: int) -> "Pool":
        """The pool less every image that was made from the given fold."""
        return self._at(self.folds != fold)

    @classmethod
    def joined(cls, parts: Sequence["Pool"]) -> "Pool":
        """Several pools as one."""
        return cls(
            *(torch.cat([getattr(part, item.name) for part in parts]) for item in fields(cls))
        )

    def _at(self, kept: Tensor) -> "Pool":
        return Pool(*(getattr(self, item.name)[kept] for item in fields(self)))


def build_pool(
    images: Tensor,
    order: Tensor,
    *,
    folds: Tensor,
    groups: Tensor,
    backbone: Backbone,
    settings: SynthesisSettings,
    label_side: int,
    generator: torch.Generator,
) -> Pool:
    """Make one synthetic image for each entry of ``order`` and encode it.

    CutPaste takes its piece from another image of the same fold, so that leaving a fold out of
    the pool leaves out every trace of its images.

    Args:
        images: the support set, float32 in [0, 1], shape (k, 3, H, W), on the CPU.
        order: index of the support image under each synthetic one, int64, shape (M,).
        folds: fold of each support image, int64, shape (k,).
        groups: study of each support image, int64, shape (k,).
        backbone: the frozen tower.
        settings: how anomalies are drawn.
        label_side: cells along a side of the labels.
        generator: the source of every draw.
    """
    # Two numbers an image, so that the batch size, which fits the machine, changes nothing.
    numbers = torch.randint(2**62, (len(order), 2), generator=generator)
    partners = torch.tensor(
        [
            _partner(int(index), folds, int(number))
            for index, number in zip(order, numbers[:, 0], strict=True)
        ],
        dtype=torch.int64,
    )
    tokens, labels, embeddings = [], [], []
    for batch in torch.split(torch.arange(len(order)), backbone.batch_size):
        samples = synthesise_seeded(
            images[order[batch]],
            images[partners[batch]],
            settings=settings,
            seeds=numbers[batch, 1],
        )
        encoded = backbone.encode(samples.images)
        tokens.append(encoded.tokens.to(torch.float16))
        embeddings.append(encoded.embedding)
        masks = samples.labels.float()[:, None]
        labels.append(F.adaptive_avg_pool2d(masks, label_side)[:, 0].to(torch.float16))
    return Pool(
        tokens=torch.cat(tokens),
        labels=torch.cat(labels).to(backbone.device),
        embedding=torch.cat(embeddings),
        folds=folds[order],
        groups=groups[order],
    )


def support_order(k: int, count: int, *, generator: torch.Generator) -> Tensor:
    """``count`` support indices: every image equally often (within one), in random order."""
    rounds = -(-count // k)
    turns = [torch.randperm(k, generator=generator) for _ in range(rounds)]
    return torch.cat(turns)[:count]


def _partner(index: int, folds: Tensor, number: int) -> int:
    """Another image of the same fold, picked by a number; the image itself where it is alone."""
    others = ((folds == folds[index]) & (torch.arange(len(folds)) != index)).nonzero().flatten()
    return int(others[number % len(others)]) if len(others) else index
