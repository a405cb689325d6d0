"""Strong crops of a batch of pictures, every draw from a seed of the crop's own."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.pretraining.settings import CropSettings
from ai_core.synthesis import OFFICIAL_SYNTHESIS, synthesise_seeded

_DRAWS = 17
"""Even numbers that one crop takes, whatever its settings."""

_ANOMALY_SEEDS = 2**61


@dataclass(frozen=True, slots=True)
class _Plan:
    """Parameters of each picture's crop; its noise is drawn after them, from the same generator.

    Attributes:
        affine: output to picture coordinates in [-1, 1], shape (N, 2, 3).
        contrast, brightness, gamma: shape (N, 1, 1, 1).
        anomaly: bool, shape (N,).
        blur: deviation in pixels, 0 for none, shape (N,).
        noise: deviation, 0 for none, shape (N, 1, 1, 1).
        invert: bool, shape (N, 1, 1, 1).
    """

    affine: Tensor
    contrast: Tensor
    brightness: Tensor
    gamma: Tensor
    anomaly: Tensor
    blur: Tensor
    noise: Tensor
    invert: Tensor


def crops(images: Tensor, *, seeds: Tensor, settings: CropSettings) -> Tensor:
    """Make one crop of each picture.

    What is done, in this order: place, contrast and brightness, gamma, synthetic anomalies, blur,
    noise, inversion. A crop depends on its picture, its seed and the settings alone, never on its
    company.

    Args:
        images: float32 RGB in [0, 1], shape (N, 3, H, W), on the CPU.
        seeds: int64, not negative, shape (N,).
        settings: how much is changed, and how often.

    Returns:
        float32 in [0, 1], of the same shape.
    """
    side = images.shape[-1]
    draws, fields = [], []
    for seed in seeds.tolist():
        generator = torch.Generator().manual_seed(seed)
        draws.append(torch.rand(_DRAWS, generator=generator, dtype=torch.float64))
        fields.append(torch.randn(1, *images.shape[-2:], generator=generator))
    plan = _plan(torch.stack(draws), settings)
    grid = F.affine_grid(plan.affine, list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    x = ((x - mean) * plan.contrast + mean + plan.brightness).clamp(0, 1)
    x = _with_anomalies(x.pow(plan.gamma), plan.anomaly, seeds=seeds)
    x = _blurred(x, plan.blur, reach=min(math.ceil(2 * settings.blur_sigma[1]), side - 1))
    x = (x + plan.noise * torch.stack(fields)).clamp(0, 1)
    return torch.where(plan.invert, 1 - x, x)


def _plan(draws: Tensor, settings: CropSettings) -> _Plan:
    u = draws.unbind(dim=1)
    low, high = settings.area
    area = low + (high - low) * u[0]
    stretch = _factor(u[1], settings.aspect)
    # a crop reaches at most from edge to edge, so that shares near 1 bend the aspect less
    width = (area * stretch).sqrt().clamp(max=1)
    height = (area / stretch).sqrt().clamp(max=1)
    column, row = (2 * u[2] - 1) * (1 - width), (2 * u[3] - 1) * (1 - height)
    mirror = torch.where(u[4] < settings.flip, -1.0, 1.0)
    upside = torch.where(u[5] < settings.upside_down, -1.0, 1.0)
    quarters = torch.where(u[6] < settings.turn, 1 + (u[7] * 3).floor().clamp(max=2), 0.0)
    cosine = torch.where(quarters == 0, 1.0, torch.where(quarters == 2, -1.0, 0.0)).double()
    sine = torch.where(quarters == 1, 1.0, torch.where(quarters == 3, -1.0, 0.0)).double()
    first = torch.stack([width * mirror * cosine, -width * mirror * sine, column], dim=1)
    second = torch.stack([height * upside * sine, height * upside * cosine, row], dim=1)
    smallest, largest = settings.blur_sigma
    return _Plan(
        affine=torch.stack([first, second], dim=1).float(),
        contrast=_per_image(_factor(u[8], settings.contrast)),
        brightness=_per_image((2 * u[9] - 1) * settings.brightness),
        gamma=_per_image(_factor(u[10], settings.gamma)),
        anomaly=u[16] < settings.anomaly,
        blur=torch.where(
            u[11] < settings.blur, smallest + (largest - smallest) * u[12], 0.0
        ).float(),
        noise=_per_image(torch.where(u[13] < settings.noise, settings.noise_sigma * u[14], 0.0)),
        invert=(u[15] < settings.invert).view(-1, 1, 1, 1),
    )


def _factor(u: Tensor, largest: float) -> Tensor:
    """Scale u to [1 / largest, largest], uniform in the logarithm."""
    return torch.exp((2 * u - 1) * math.log(largest))


def _per_image(values: Tensor) -> Tensor:
    return values.float().view(-1, 1, 1, 1)


def _with_anomalies(x: Tensor, chosen: Tensor, *, seeds: Tensor) -> Tensor:
    """Add synthetic anomalies to the chosen pictures; pieces are cut from the picture itself."""
    if not bool(chosen.any()):
        return x
    normal = x[chosen]
    # Other numbers than those that placed the crop.
    own = (seeds[chosen] + _ANOMALY_SEEDS) % 2**62
    made = synthesise_seeded(normal, normal, settings=OFFICIAL_SYNTHESIS, seeds=own)
    x = x.clone()
    x[chosen] = made.images
    return x


def _blurred(x: Tensor, sigma: Tensor, *, reach: int) -> Tensor:
    """Blur each picture by its own deviation; 0 leaves it as it is."""
    chosen = sigma.nonzero().flatten()
    if not len(chosen):
        return x
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (offsets / sigma[chosen, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = x[chosen].flatten(0, 1)[None]
    for shape, padding in (((1, -1), (reach, reach, 0, 0)), ((-1, 1), (0, 0, reach, reach))):
        padded = F.pad(flat, padding, mode="reflect")
        flat = F.conv2d(padded, kernel.view(len(kernel), 1, *shape), groups=len(kernel))
    x = x.clone()
    x[chosen] = flat[0].view(len(chosen), 3, *x.shape[-2:])
    return x
