"""Draws a synthesis task for a normal image and carries it out."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ai_core.synthesis.cutpaste import cut_paste
from ai_core.synthesis.deformation import source_deformation
from ai_core.synthesis.draws import integer, uniform
from ai_core.synthesis.foreground import foreground
from ai_core.synthesis.intensity import gauss_intensity_change, gauss_noise, gaussian_filter
from ai_core.synthesis.masks import Shape, draw_placement, perlin_mask, shape_mask

Task = Literal["cutpaste", "intensity", "source", "identity"]
"""A synthesis task: the paper's three, and none at all (the released code's fourth)."""

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class SynthesisSettings:
    """How synthetic anomalies are drawn.

    Attributes:
        tasks: tasks with equal odds; a task named twice has twice the odds.
        size: smallest and largest side of a mask, as shares of the image's side.
        gamma: smallest and largest |γ| of Eq. 4; the sign is drawn.
        alpha: smallest and largest α of Eq. 5.
        noise_sigma: smallest and largest deviation of the Gaussian filter of Eq. 4, in pixels.
        edge_sigma: smallest and largest softness of the mask's edge in Eq. 4, in pixels; 0 hard.
        shape_share: share of ellipses instead of Perlin blobs in Eq. 4.
        flat_share: share of Eq. 4 changes without texture, that is with G = 1.
        place: masks are centred "anywhere" or on the "body".
        label: "mask", or "visible": the part of the mask in which the image really changed.
        visible: smallest change of a pixel that counts as visible, for values in [0, 1].
    """

    tasks: tuple[Task, ...] = ("cutpaste", "intensity", "source")
    size: tuple[float, float] = (0.1, 0.6)
    gamma: tuple[float, float] = (0.4, 0.6)
    alpha: tuple[float, float] = (2**0.5, 4.0)
    noise_sigma: tuple[float, float] = (4.0, 7.0)
    edge_sigma: tuple[float, float] = (0.0, 0.0)
    shape_share: float = 0.0
    flat_share: float = 0.0
    place: Literal["anywhere", "body"] = "anywhere"
    label: Literal["mask", "visible"] = "mask"
    visible: float = 0.03


@dataclass(frozen=True, slots=True)
class Sample:
    """A synthetic training image.

    Attributes:
        image: float32 in [0, 1], shape (3, H, W).
        label: true where anomalous, bool, shape (H, W).
        task: what was done.
    """

    image: Tensor
    label: Tensor
    task: Task


def synthesise(
    target: Tensor, source: Tensor, *, settings: SynthesisSettings, generator: torch.Generator
) -> Sample:
    """Draw a task with equal odds and apply it to a normal image.

    A draw that changes nothing visible is repeated a few times; then the image stays normal.

    Args:
        target: the normal image, float32 in [0, 1], shape (3, H, W).
        source: another normal image, from which CutPaste takes its piece.
        settings: what to draw from.
        generator: the source of every draw.
    """
    task = settings.tasks[integer(0, len(settings.tasks), generator)]
    side = target.shape[-1]
    nothing = torch.zeros(side, side, dtype=torch.bool)
    if task == "identity":
        return Sample(image=target, label=nothing, task=task)
    allowed = foreground(target) if settings.place == "body" else ~nothing
    for _ in range(_ATTEMPTS):
        image, mask = _apply(task, target, source, allowed, settings, generator)
        change = (image - target).abs().amax(0) >= settings.visible
        label = mask if settings.label == "mask" else change
        if bool((mask & change).any()):
            return Sample(image=image, label=label, task=task)
    return Sample(image=target, label=nothing, task="identity")


def _apply(
    task: Task,
    target: Tensor,
    source: Tensor,
    allowed: Tensor,
    settings: SynthesisSettings,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    side = target.shape[-1]
    low, high = settings.size
    placement = draw_placement(allowed, low=low, high=high, generator=generator)
    if task == "source":
        shape: Shape = "ellipse" if integer(0, 2, generator) else "rectangle"
        alpha = uniform(*settings.alpha, generator)
        image = source_deformation(target, placement, shape, alpha=alpha)
        return image, shape_mask(placement, shape, side=side)
    if task == "cutpaste":
        mask = perlin_mask(placement, side=side, generator=generator)
        return cut_paste(target, source, mask, generator=generator), mask
    if uniform(0, 1, generator) < settings.shape_share:
        mask = shape_mask(placement, "ellipse", side=side)
    else:
        mask = perlin_mask(placement, side=side, generator=generator)
    return _change_intensity(target, mask, settings, generator), mask


def _change_intensity(
    target: Tensor, mask: Tensor, settings: SynthesisSettings, generator: torch.Generator
) -> Tensor:
    side = target.shape[-1]
    soft = mask.to(target.dtype)
    edge = uniform(*settings.edge_sigma, generator)
    if edge > 0:
        soft = gaussian_filter(soft, sigma=edge)
    sigma = uniform(*settings.noise_sigma, generator)
    noise = gauss_noise(side=side, sigma=sigma, generator=generator)
    if uniform(0, 1, generator) < settings.flat_share:
        noise = torch.ones_like(noise)
    sign = 1 if integer(0, 2, generator) else -1
    gamma = sign * uniform(*settings.gamma, generator)
    return gauss_intensity_change(target, soft, noise, gamma=gamma)
