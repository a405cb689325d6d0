"""Sampler: draws a synthesis task for each normal image of a batch and applies it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.errors import ImageInputError
from ai_core.synthesis.boxes import Window, cut, window_around
from ai_core.synthesis.cutpaste import Piece, cut_paste
from ai_core.synthesis.deformation import Bulge, source_deformation
from ai_core.synthesis.foreground import Cells, body_cells, body_pixels
from ai_core.synthesis.intensity import Change, intensity_change
from ai_core.synthesis.plans import Plan, draw_plan, label_of, margin_of
from ai_core.synthesis.seeded_stream import SeededStream, draw_seeds
from ai_core.synthesis.settings import SynthesisSettings, Task

_LEAST_OF_IMAGE = 2e-4
_LEAST_OF_MASK = 0.15
"""To count, a change must be visible on 10 pixels of 224 x 224 and on so much of its mask."""

_GAP = 3
"""Gaps in a visible change up to twice as wide, in pixels, are labelled with it."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Synthetic training images.

    Attributes:
        images: float32 in [0, 1], shape (B, 3, H, W).
        labels: true where anomalous, bool, shape (B, H, W).
        tasks: what was done to each; "identity" where the image stayed normal.
    """

    images: Tensor
    labels: Tensor
    tasks: tuple[Task, ...]

    def __len__(self) -> int:
        return len(self.tasks)


def synthesise(
    targets: Tensor, sources: Tensor, *, settings: SynthesisSettings, generator: torch.Generator
) -> Samples:
    """Draw a task for each normal image and apply it, on the images' device.

    One seed an image is taken from the generator, in order, and everything about an image's
    anomaly comes from its own seed: task, number of anomalies, then for each anomaly and each
    attempt sides, turn, place, and what the task draws. So the anomalies don't depend on how
    images are split into batches, nor on the device; pixels agree to rounding (1e-5), and bit
    for bit for the same batch on the same device and threads.

    A draw that changes nothing visible is repeated; after `attempts` the image stays normal.

    Args:
        targets: normal images, float32 in [0, 1], shape (B, 3, H, W).
        sources: other normal images, from which CutPaste takes its pieces, the same shape.
        settings: what to draw from.
        generator: on the CPU; the source of every draw.

    Raises:
        ImageInputError: shapes, types or devices that don't fit.
    """
    seeds = draw_seeds(len(targets), generator=generator)
    return synthesise_seeded(targets, sources, settings=settings, seeds=seeds)


def synthesise_seeded(
    targets: Tensor, sources: Tensor, *, settings: SynthesisSettings, seeds: Tensor
) -> Samples:
    """Synthesise as `synthesise` does, with each image's seed given, int64, shape (B,).

    Raises:
        ImageInputError: as `synthesise`, or another number of seeds than of images.
    """
    _check(targets, sources, seeds)
    if not len(targets):
        return Samples(
            targets.clone(), targets.new_zeros(targets[:, 0].shape, dtype=torch.bool), ()
        )
    # Grey images in three equal channels are the rule; they cost a third.
    grey = _is_grey(targets) and _is_grey(sources)
    batch = _Batch(
        targets[:, :1] if grey else targets, sources[:, :1] if grey else sources, settings
    )
    streams = [SeededStream(seed) for seed in seeds.tolist()]
    tasks = [stream.choose(settings.tasks) for stream in streams]
    counts = [stream.choose(settings.anomalies) for stream in streams]
    for turn in range(max(settings.anomalies)):
        pending = [
            index for index, task in enumerate(tasks) if task != "identity" and counts[index] > turn
        ]
        for _ in range(max(settings.attempts, 1)):
            if not pending:
                break
            pending = batch.add(pending, tasks, streams)
    changed = batch.labels.flatten(1).any(1).tolist()
    done: list[Task] = [
        task if hit else "identity" for task, hit in zip(tasks, changed, strict=True)
    ]
    images = batch.images.expand(-1, 3, -1, -1).contiguous()
    return Samples(images, batch.labels, tuple(done))


class _Batch:
    """Images on their way from normal to anomalous."""

    def __init__(self, targets: Tensor, sources: Tensor, settings: SynthesisSettings) -> None:
        self.images = targets.clone()
        self.labels = targets.new_zeros(targets[:, 0].shape, dtype=torch.bool)
        self._sources = sources
        self._settings = settings
        self._height, self._width = targets.shape[-2:]
        self._cells: list[Cells] | None = None
        self._allowed: Tensor | None = None
        if settings.place == "body":
            self._cells = body_cells(targets)
            self._allowed = body_pixels(
                self._cells, height=self._height, width=self._width, device=targets.device
            )

    def add(
        self, pending: Sequence[int], tasks: Sequence[Task], streams: list[SeededStream]
    ) -> list[int]:
        """Add an anomaly to some images; return those in which it is not visible."""
        groups: defaultdict[tuple[Task, int, int], list[tuple[int, Plan, Window]]]
        groups = defaultdict(list)
        for index in pending:
            plan = draw_plan(
                tasks[index],
                self._settings,
                streams[index],
                height=self._height,
                width=self._width,
                body=None if self._cells is None else self._cells[index],
            )
            window = window_around(
                plan.box, margin=margin_of(plan), height=self._height, width=self._width
            )
            groups[tasks[index], window.height, window.width].append((index, plan, window))
        unseen = [index for group in groups.values() for index in self._add_group(group)]
        return sorted(unseen)

    def _add_group(self, group: Sequence[tuple[int, Plan, Window]]) -> list[int]:
        indices = [index for index, _, _ in group]
        plans = [plan for _, plan, _ in group]
        windows = [window for _, _, window in group]
        before = cut(self.images, indices, windows)
        after, masks = self._apply(before, indices, plans, windows)
        change = (after - before).abs().amax(1) >= self._settings.visible
        whole = label_of(plans[0], self._settings) == "mask"
        labels = masks | change if whole else _closed(change)
        if self._settings.attempts:
            least = max(1, round(_LEAST_OF_IMAGE * self._height * self._width))
            enough = (masks.sum((1, 2)) * _LEAST_OF_MASK).clamp_min(least)
            seen = (change.sum((1, 2)) >= enough).tolist()
        else:
            seen = labels.flatten(1).any(1).tolist()
        for position, (index, window) in enumerate(zip(indices, windows, strict=True)):
            if seen[position]:
                self.images[(index, slice(None), *window.slices)] = after[position]
                self.labels[(index, *window.slices)] |= labels[position]
        return [index for index, hit in zip(indices, seen, strict=True) if not hit]

    def _apply(
        self,
        before: Tensor,
        indices: Sequence[int],
        plans: Sequence[Plan],
        windows: Sequence[Window],
    ) -> tuple[Tensor, Tensor]:
        allowed = None if self._allowed is None else cut(self._allowed, indices, windows)
        if bulges := [plan for plan in plans if isinstance(plan, Bulge)]:
            return source_deformation(before, bulges, windows)
        if pieces := [plan for plan in plans if isinstance(plan, Piece)]:
            return cut_paste(
                before,
                self._sources[list(indices)],
                pieces,
                windows,
                settings=self._settings.cutpaste,
                allowed=allowed,
            )
        changes = [plan for plan in plans if isinstance(plan, Change)]
        return intensity_change(
            before, changes, windows, settings=self._settings.intensity, allowed=allowed
        )


def _closed(change: Tensor) -> Tensor:
    """Fill small gaps: in texture, a change passes through zero without being absent there."""
    return ~_spread(~_spread(change))


def _spread(masks: Tensor) -> Tensor:
    """Grow masks by `_GAP` pixels in every direction, bool, shape (n, height, width)."""
    for axis in (1, 2):
        size = masks.shape[axis]
        grown = masks.clone()
        for step in range(1, min(_GAP, size - 1) + 1):
            grown.narrow(axis, step, size - step).logical_or_(masks.narrow(axis, 0, size - step))
            grown.narrow(axis, 0, size - step).logical_or_(masks.narrow(axis, step, size - step))
        masks = grown
    return masks


def _is_grey(images: Tensor) -> bool:
    return all(torch.equal(images[:, 0], images[:, channel]) for channel in (1, 2))


def _check(targets: Tensor, sources: Tensor, seeds: Tensor) -> None:
    for name, images in (("targets", targets), ("sources", sources)):
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.float32:
            raise ImageInputError(
                f"{name} must be float32 with the shape (B, 3, H, W), not {images.dtype} with "
                f"{tuple(images.shape)}"
            )
    if targets.shape != sources.shape or targets.device != sources.device:
        raise ImageInputError(
            f"every target needs a source of its own size: {tuple(targets.shape)} on "
            f"{targets.device} against {tuple(sources.shape)} on {sources.device}"
        )
    if seeds.shape != targets.shape[:1]:
        raise ImageInputError(f"{len(targets)} images need as many seeds, not {seeds.shape}")
