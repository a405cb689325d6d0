"""Trainer: one optimiser over adapters and prompts (MediCLIP Eq. 1 to 3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ai_core.backbone import Backbone, Replay
from ai_core.model import (
    Adapters,
    FrozenProjection,
    Head,
    PatchBank,
    Scope,
    fuse,
    make_text_vectors,
    medical_anomaly_loss,
    similarities,
)
from ai_core.presets import Preset


class Trainer:
    """Adapters and prompts under one optimiser.

    Args:
        backbone: the frozen towers.
        preset: optimiser and model settings.
        normal_tokens: patch tokens of the support set, shape (k, blocks, patches, width).
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
        self._adapters = start_adapters(backbone, preset, generator=generator)
        # With nothing else to learn, every update is the prompts'.
        self._prompts_every = training.prompts_every if preset.adapter else 1
        if isinstance(self._adapters, Adapters) and training.standardise:
            self._adapters.standardise(normal_tokens)
        self._prompts = make_text_vectors(
            backbone.model,
            embed_dim=backbone.embed_dim,
            settings=preset.prompts,
            generator=generator,
            device=backbone.device,
        )
        self._parameters = [
            parameter
            for parameter in (*self._adapters.parameters(), *self._prompts.parameters())
            if parameter.numel()
        ]
        self.learns = bool(self._parameters)
        self._optimiser = (
            torch.optim.Adam(
                self._parameters,
                lr=training.learning_rate,
                betas=training.betas,
                capturable=backbone.device.type == "cuda",
            )
            if self.learns
            else None
        )
        with torch.no_grad():
            self._text = self._prompts()
        self._learn_both = Replay(partial(self._step, prompts_learn=True))
        self._learn_adapters = Replay(partial(self._step, prompts_learn=False))
        self._updates = 0
        self._sums = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._summed = 0

    def update(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Take one optimiser step on a batch; return its loss, valid until the next step."""
        prompts_learn = self._prompts.learns and self._updates % self._prompts_every == 0
        self._updates += 1
        step = self._learn_both if prompts_learn else self._learn_adapters
        return step(tokens, labels)

    def _step(self, tokens: Tensor, labels: Tensor, *, prompts_learn: bool) -> Tensor:
        assert self._optimiser is not None
        preset = self._preset
        with _step_arithmetic(tokens.device):
            text = self._prompts() if prompts_learn else self._text
            maps = fuse(
                similarities(self._adapters(tokens.float()), text),
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
        if prompts_learn:
            self._text.copy_(text.detach())
        return loss.detach()

    @torch.no_grad()
    def accumulate_average(self) -> None:
        """Add the current weights to the running average."""
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            total += parameter
        self._summed += 1

    @torch.no_grad()
    def finish(self, scope: Scope, patch_bank: PatchBank | None) -> Head:
        """Return the head with averaged weights, or the last ones if nothing was averaged."""
        if self._summed:
            for total, parameter in zip(self._sums, self._parameters, strict=True):
                parameter.copy_(total / self._summed)
        self._adapters.requires_grad_(requires_grad=False)
        return Head(
            adapters=self._adapters,
            text=self._prompts().detach(),
            scope=scope,
            patch_bank=patch_bank,
        )


@contextmanager
def _step_arithmetic(device: torch.device) -> Iterator[None]:
    """Set a GPU step's arithmetic: attention with a fixed order of sums, products in TF32.

    TF32 keeps 10 bits of what is multiplied and sums in float32. The flag is process-wide, but
    only set during the three warm-up steps: CUDA graphs replay without it.
    """
    if device.type != "cuda":
        yield
        return
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def start_adapters(
    backbone: Backbone, preset: Preset, *, generator: torch.Generator
) -> Adapters | FrozenProjection:
    """Build untrained adapters, or the frozen projection where the preset has no adapter."""
    if not preset.adapter:
        return FrozenProjection(*backbone.frozen_projection()).to(backbone.device)
    return Adapters(
        blocks=len(backbone.blocks),
        width=backbone.width,
        embed_dim=backbone.embed_dim,
        generator=generator,
    ).to(backbone.device)
