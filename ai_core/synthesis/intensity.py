"""GaussIntensityChange: smooth noise added or taken away (MediCLIP Eq. 4)."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gauss_intensity_change(target: Tensor, mask: Tensor, noise: Tensor, *, gamma: float) -> Tensor:
    """Return clip(I + γ · G · M) (MediCLIP Eq. 4).

    Args:
        target: I, float32 in [0, 1], shape (3, H, W).
        mask: M in [0, 1], float32, shape (H, W); soft where the edge is to be soft.
        noise: G in [0, 1], float32, shape (H, W).
        gamma: strength and sign; the paper draws it from [-0.6, -0.4] and [0.4, 0.6].
    """
    return (target + gamma * noise * mask).clamp(0, 1)


def gauss_noise(*, side: int, sigma: float, generator: torch.Generator) -> Tensor:
    """Binary noise under a Gaussian filter, stretched to [0, 1], shape (side, side)."""
    noise = (torch.randn(side, side, generator=generator) > 0).to(torch.float32)
    smooth = gaussian_filter(noise, sigma=sigma)
    low, high = smooth.amin(), smooth.amax()
    return (smooth - low) / (high - low).clamp_min(1e-6)


def gaussian_filter(image: Tensor, *, sigma: float) -> Tensor:
    """Gaussian filter of an image (H, W), cut at three deviations, edges repeated."""
    radius = max(1, math.ceil(3 * sigma))
    places = torch.arange(-radius, radius + 1, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum()).to(image.device)
    padded = F.pad(image[None, None], (radius,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[0, 0]
