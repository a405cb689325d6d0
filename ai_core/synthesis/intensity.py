"""GaussIntensityChange: smooth noise added or taken away (MediCLIP Eq. 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.synthesis.boxes import Box, Window, cut, offsets, transform
from ai_core.synthesis.filters import gaussian_filter
from ai_core.synthesis.masks import Outline, draw_outline, perlin_masks, relative_radii
from ai_core.synthesis.seeded_stream import SeededStream
from ai_core.synthesis.settings import IntensitySettings


@dataclass(frozen=True, slots=True)
class Change:
    """Parameters drawn for a change of intensity.

    Attributes:
        box: box of the mask.
        outline: its Perlin noise; None for a plain ellipse.
        gamma: γ, with its sign.
        edge_sigma: softness of the mask's edge, in pixels.
        coins: binary noise, uint8, shape (H, W); None for a change without texture.
        noise_sigma: deviation of its filter, in pixels.
    """

    box: Box
    outline: Outline | None
    gamma: float
    edge_sigma: float
    coins: Tensor | None
    noise_sigma: float


def draw_change(
    box: Box, settings: IntensitySettings, stream: SeededStream, *, height: int, width: int
) -> Change:
    """Draw the kind of mask and its outline, sign and size of γ, edge, and noise, in this order."""
    plain = stream.uniform() < settings.ellipse_share
    outline = None if plain else draw_outline(box, settings.mask, stream)
    sign = stream.choose((-1.0, 1.0))
    gamma = sign * settings.gamma.draw(stream)
    edge_sigma = settings.edge_sigma.draw(stream)
    flat = stream.uniform() < settings.flat_share
    noise_sigma = settings.noise_sigma.draw(stream)
    coins = None if flat else stream.coins(height, width)
    return Change(box, outline, gamma, edge_sigma, coins, noise_sigma)


def intensity_change(
    targets: Tensor,
    changes: Sequence[Change],
    windows: Sequence[Window],
    *,
    settings: IntensitySettings,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return clip(I + γ · G · M) (MediCLIP Eq. 4).

    Args:
        targets: I, windows of images, float32 in [0, 1], shape (n, C, height, width).
        changes: what was drawn for each.
        windows: position of each window in its image.
        settings: says how the masks are cut and softened.
        allowed: pixels that masks may cover, bool, shape (n, height, width).

    Returns:
        The changed windows, and M before softening, bool, shape (n, height, width).
    """
    masks = _masks(changes, windows, settings=settings, device=targets.device)
    if allowed is not None:
        masks &= allowed
    soft = masks.to(targets.dtype)
    if any(change.edge_sigma > 0 for change in changes):
        soft = gaussian_filter(soft, sigmas=[change.edge_sigma for change in changes])
    if settings.edge == "inside":
        soft = soft * masks
    gammas = torch.tensor([change.gamma for change in changes], dtype=torch.float32)
    strength = gammas.to(targets.device)[:, None, None] * soft * _textures(changes, windows, soft)
    return (targets + strength[:, None]).clamp(0, 1), masks


def gauss_noise(coins: Tensor, *, sigmas: Sequence[float]) -> Tensor:
    """Compute G of Eq. 4: binary noise under a Gaussian filter, each field scaled to [0, 1].

    Args:
        coins: zeros and ones, float32, shape (n, H, W).
        sigmas: n deviations of the filter, in pixels.
    """
    smooth = gaussian_filter(coins, sigmas=sigmas)
    low, high = smooth.amin((1, 2), keepdim=True), smooth.amax((1, 2), keepdim=True)
    return (smooth - low) / (high - low).clamp_min(1e-6)


def _masks(
    changes: Sequence[Change],
    windows: Sequence[Window],
    *,
    settings: IntensitySettings,
    device: torch.device,
) -> Tensor:
    rows, columns = offsets([change.box for change in changes], windows, device)
    units = transform([change.box.matrix for change in changes], rows, columns)
    masks = relative_radii(*units, "ellipse") <= 1
    ragged = [index for index, change in enumerate(changes) if change.outline is not None]
    if ragged:
        masks[ragged] = perlin_masks(
            [outline for change in changes if (outline := change.outline) is not None],
            [windows[index] for index in ragged],
            settings=settings.mask,
            device=device,
        )
    return masks


def _textures(changes: Sequence[Change], windows: Sequence[Window], like: Tensor) -> Tensor:
    """Compute G in each window: 1 where the change has no texture."""
    textures = torch.ones_like(like)
    rough = [index for index, change in enumerate(changes) if change.coins is not None]
    if rough:
        coins = torch.stack([coins for c in changes if (coins := c.coins) is not None])
        noise = gauss_noise(
            coins.to(like.device, like.dtype), sigmas=[changes[i].noise_sigma for i in rough]
        )
        textures[rough] = cut(noise, range(len(rough)), [windows[index] for index in rough])
    return textures
