"""Pool: synthetic images made from a support set, as cached features of the frozen tower."""

import math
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.backbone import Backbone
from ai_core.fitting.support import Support
from ai_core.progress import FitProgress, Progress, silent
from ai_core.scope import ImageFacts, describe_images
from ai_core.synthesis import SynthesisSettings, synthesise_seeded

IN_MEMORY_BYTES = 2 * 2**30
"""A larger pool is kept in an unnamed temporary file and read from there, batch by batch."""

_AT_ONCE_ON_CUDA = 128
"""Images that a GPU makes together: each step of the synthesis is far too small for it."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Cached features of synthetic images.

    Attributes:
        tokens: patch tokens, float16 to halve the room, shape (M, blocks, patches, width).
        labels: share of anomalous pixels in each cell, float16, shape (M, side, side).
        facts: of the M images, for the scope guard; None where none were asked for.
        folds: fold of the support image that a synthetic image was made from, int64, shape (M,).
        groups: study of that support image, int64, shape (M,).
        rows: the images of this pool; leaving a fold out copies none, int64, shape (m,).
    """

    tokens: Tensor
    labels: Tensor
    facts: ImageFacts | None
    folds: Tensor
    groups: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens and labels of some images by position 0…m - 1, on the labels' device."""
        rows = self.rows[positions]
        return self.tokens[rows].to(self.labels.device), self.labels[rows]

    def without(self, fold: int) -> "Pool":
        """Return the pool without the images that were made from the given fold."""
        return replace(self, rows=self.rows[self.folds[self.rows] != fold])


def build_pool(
    support: Support,
    order: Tensor,
    *,
    folds: Tensor,
    backbone: Backbone,
    settings: SynthesisSettings,
    label_side: int,
    generator: torch.Generator,
    progress: Progress = silent,
    described: bool = False,
) -> Pool:
    """Make one synthetic image for each entry of ``order`` and encode it.

    CutPaste takes its piece from another image of the same fold, so that leaving a fold out of
    the pool leaves out every trace of its images. What came out untouched (the Identity task) has
    the features of its support image and is not encoded again.

    Args:
        support: the support set.
        order: index of the support image under each synthetic one, int64, shape (M,).
        folds: fold of each support image, int64, shape (k,).
        backbone: the frozen tower.
        settings: how anomalies are drawn.
        label_side: cells along a side of the labels.
        generator: the source of every draw.
        progress: called after every batch.
        described: also compute the images' facts for the scope guard.
    """
    count = len(order)
    # Two numbers an image, so that the batch size, which fits the machine, changes nothing.
    numbers = torch.randint(2**62, (count, 2), generator=generator)
    partners = torch.tensor(
        [
            _partner(int(index), folds, int(number))
            for index, number in zip(order, numbers[:, 0], strict=True)
        ],
        dtype=torch.int64,
    )
    device = backbone.device
    tokens = _allocate((count, *support.encoded.tokens.shape[1:]), device=device)
    labels = torch.empty(count, label_side, label_side, dtype=torch.float16, device=device)
    facts: list[ImageFacts] = []
    places: list[Tensor] = []
    together = _AT_ONCE_ON_CUDA if device.type == "cuda" else backbone.batch_size
    for batch in torch.split(torch.arange(count), together):
        normal = support.images[order[batch]]
        samples = synthesise_seeded(
            normal, support.images[partners[batch]], settings=settings, seeds=numbers[batch, 1]
        )
        masks = samples.labels.float()[:, None]
        labels[batch] = F.adaptive_avg_pool2d(masks, label_side)[:, 0].to(labels)
        changed = (samples.images != normal).flatten(1).any(dim=1).cpu()
        untouched = batch[~changed]
        tokens[untouched] = support.encoded.tokens[order[untouched]].to(tokens)
        if changed.any():
            encoded = backbone.encode(samples.images[changed])
            tokens[batch[changed]] = encoded.tokens.to(tokens)
            if described:
                places.append(batch[changed])
                facts.append(
                    describe_images(
                        samples.images[changed], tokens=encoded.tokens, embedding=encoded.embedding
                    )
                )
        if described and len(untouched):
            places.append(untouched)
            facts.append(support.facts.part(order[untouched]))
        progress(FitProgress("encode", int(batch[-1]) + 1, count))
    return Pool(
        tokens=tokens,
        labels=labels,
        facts=ImageFacts.join(facts).part(torch.cat(places).argsort()) if described else None,
        folds=folds[order],
        groups=support.groups[order],
        rows=torch.arange(count),
    )


def prefetch(pools: Iterator[Pool], *, device: torch.device) -> Iterator[Pool]:
    """Yield the same pools; on a GPU the next one is made in a thread while one is used.

    Args:
        pools: makes a pool whenever it is asked for one.
        device: where the pools are made and used.
    """
    if device.type != "cuda":
        yield from pools
        return
    here = torch.cuda.current_stream(device)
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    aside.wait_stream(here)

    def make() -> Pool | None:
        with torch.cuda.device(device), torch.cuda.stream(aside):
            pool = next(pools, None)
            aside.synchronize()
            return pool

    with ThreadPoolExecutor(1, thread_name_prefix="pool") as worker:
        coming = worker.submit(make)
        while (pool := coming.result()) is not None:
            coming = worker.submit(make)
            for tensor in (pool.tokens, pool.labels):
                if tensor.is_cuda:
                    tensor.record_stream(here)  # else its room could be taken before it was read
            yield pool


def support_order(k: int, count: int, *, generator: torch.Generator) -> Tensor:
    """Draw ``count`` support indices: every image equally often (within one), in random order."""
    rounds = -(-count // k)
    turns = [torch.randperm(k, generator=generator) for _ in range(rounds)]
    return torch.cat(turns)[:count]


def _allocate(shape: tuple[int, ...], *, device: torch.device) -> Tensor:
    """Allocate an uninitialised float16 tensor, on the device or, where it is large, on disk."""
    if 2 * math.prod(shape) <= IN_MEMORY_BYTES:
        return torch.empty(shape, dtype=torch.float16, device=device)
    with tempfile.TemporaryFile(prefix="mediclip-pool-") as file:
        # the mapping outlives the file's name and handle, and goes with the last tensor on it
        return torch.from_numpy(np.memmap(file, dtype=np.float16, mode="w+", shape=shape))


def _partner(index: int, folds: Tensor, number: int) -> int:
    """Return another image of the same fold, picked by a number; the image itself if alone."""
    others = ((folds == folds[index]) & (torch.arange(len(folds)) != index)).nonzero().flatten()
    return int(others[number % len(others)]) if len(others) else index
