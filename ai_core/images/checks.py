"""Input checks: float32 RGB in [0, 1], shape (N, 3, 224, 224)."""

import hashlib

import torch
from torch import Tensor

from ai_core.errors import ImageInputError, SupportSetError
from ai_core.images.placement import IMAGE_SIZE, MOST_TIMES

MINIMUM_SUPPORT = 2
"""Below this, nothing can be held out and CutPaste has no second image."""


def check_images(images: Tensor) -> Tensor:
    """Return ``images`` unchanged if they are what the detector takes.

    Args:
        images: float32 RGB, shape (N, 3, 224, 224), values in [0, 1]; sides of 448, 672 or 896
            pixels for images that the tower sees in tiles.

    Raises:
        ImageInputError: for any other shape, type or range, or a value that is not finite.
    """
    if not isinstance(images, Tensor):
        raise ImageInputError(f"images must be a torch.Tensor, not {type(images).__name__}")
    sides = [times * IMAGE_SIZE for times in range(1, MOST_TIMES + 1)]
    if images.ndim != 4 or tuple(images.shape[1:]) not in [(3, side, side) for side in sides]:
        tiled = ", ".join(map(str, sides[1:]))
        raise ImageInputError(
            f"images must have the shape (N, 3, {IMAGE_SIZE}, {IMAGE_SIZE}), not "
            f"{tuple(images.shape)}; resize them first (for tiles to sides of {tiled})"
        )
    if images.dtype != torch.float32:
        raise ImageInputError(f"images must be float32 in [0, 1], not {images.dtype}")
    if images.shape[0] == 0:
        return images
    finite = torch.isfinite(images).flatten(1).all(1)
    if not bool(finite.all()):
        where = _indices(~finite)
        raise ImageInputError(f"images {where} hold values that are not finite (NaN or infinite)")
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high > 1.0:
        raise ImageInputError(f"image values must be in [0, 1], not in [{low:.4g}, {high:.4g}]")
    return images


def check_series_places(series_places: Tensor, *, count: int) -> Tensor:
    """Return places along a series unchanged if they are what the detector takes.

    Args:
        series_places: place of each image along its series, floats in [0, 1] or NaN, shape (N,).
        count: N, the number of images.

    Raises:
        ImageInputError: for any other number, type or range.
    """
    if not isinstance(series_places, Tensor) or not series_places.is_floating_point():
        raise ImageInputError("places along a series must be a torch.Tensor of floats")
    if tuple(series_places.shape) != (count,):
        raise ImageInputError(
            f"places along a series must have the shape ({count},), one for each image, not "
            f"{tuple(series_places.shape)}"
        )
    known = series_places[~series_places.isnan()]
    if bool(((known < 0) | (known > 1)).any()):
        raise ImageInputError(
            "places along a series must be in [0, 1], from its first position to its last, not in "
            f"[{float(known.min()):.4g}, {float(known.max()):.4g}]; divide by the series' length"
        )
    return series_places


def check_support(images: Tensor, *, views: int = 1) -> Tensor:
    """Return a support set unchanged if a detector can be fitted on it.

    Args:
        images: k normal images, float32 RGB, shape (k * views, 3, 224, 224), values in [0, 1].
        views: detector inputs that each image is shown in; a view alone may lack any structure.

    Raises:
        ImageInputError: as `check_images`, or inputs that are no whole number of images.
        SupportSetError: fewer than 2 images, or images without any structure.
    """
    check_images(images)
    if images.shape[0] % views:
        raise ImageInputError(f"{images.shape[0]} inputs are not images in {views} views each")
    images_in_all = images.shape[0] // views
    if images_in_all < MINIMUM_SUPPORT:
        raise SupportSetError(
            f"a support set needs at least {MINIMUM_SUPPORT} normal images, got {images_in_all}"
        )
    values = images.reshape(images_in_all, -1)
    constant = values.amax(1) == values.amin(1)
    if bool(constant.any()):
        raise SupportSetError(
            f"support images {_indices(constant)} are constant (one single value); leave them out"
        )
    return images


def image_digests(images: Tensor) -> tuple[str, ...]:
    """Compute the SHA-256 of each image's float32 bytes, as hexadecimal text."""
    plain = images.detach().to("cpu", torch.float32).contiguous()
    return tuple(hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in plain)


def _indices(mask: Tensor) -> str:
    found = [str(int(index)) for index in mask.nonzero().flatten()]
    shown = ", ".join(found[:8])
    return f"[{shown}, … {len(found)} in all]" if len(found) > 8 else f"[{shown}]"
