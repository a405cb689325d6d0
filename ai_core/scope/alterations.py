"""Alterations of support images: pictures that the scope guard learns to stop.

Made from the support set at the fit, in the way of self-supervised outlier detection: which of
them look foreign, the support set itself says. Evaluation has alterations of its own, of other
strengths and places.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ai_core.scope.pixels import content_boxes

Alteration = Callable[[Tensor, torch.Generator], Tensor]
"""Alters the content of one image, float32 in [0, 1], shape (3, rows, columns); padding is cut off
before and made anew after."""


def alter(images: Tensor, name: str, *, generator: torch.Generator) -> Tensor:
    """Alter each image's content, and pad it to the square again.

    Args:
        images: float32 RGB in [0, 1] on the CPU, shape (N, 3, S, S).
        name: a key of `ALTERATIONS`.
        generator: draws noise and places.
    """
    altered = [
        _padded(ALTERATIONS[name](image[:, top:bottom, left:right], generator), images.shape[-1])
        for image, (top, bottom, left, right) in zip(images, content_boxes(images), strict=True)
    ]
    return torch.stack(altered).clamp(0, 1)


def _padded(content: Tensor, size: int) -> Tensor:
    rows, columns = content.shape[1:]
    longest = max(rows, columns)
    height, width = max(1, round(rows * size / longest)), max(1, round(columns * size / longest))
    if (height, width) != (rows, columns):
        content = F.interpolate(
            content[None], (height, width), mode="bilinear", align_corners=False, antialias=True
        )[0]
    square = torch.zeros(3, size, size)
    top, left = (size - height) // 2, (size - width) // 2
    square[:, top : top + height, left : left + width] = content
    return square


def _turned(quarters: int) -> Alteration:
    return lambda content, _: content.rot90(quarters, (1, 2))


def _mirrored(axis: int) -> Alteration:
    return lambda content, _: content.flip(axis)


def _inverted(content: Tensor, _: torch.Generator) -> Tensor:
    return 1 - content


def _inverted_inside(content: Tensor, _: torch.Generator) -> Tensor:
    """Invert all but the black background, as another sequence shows tissue."""
    inside = (content.mean(0) > 0.06).float()
    # a closing by 7 pixels: dark tissue within the body is inverted, too
    grown = F.max_pool2d(inside[None, None], 7, 1, 3)
    filled = -F.max_pool2d(-grown, 7, 1, 3)[0]
    return content + filled * (1 - 2 * content)


def _cropped(share: float) -> Alteration:
    def crop(content: Tensor, generator: torch.Generator) -> Tensor:
        rows, columns = content.shape[1:]
        height, width = max(2, round(rows * share)), max(2, round(columns * share))
        y, x = torch.rand(2, generator=generator).tolist()
        top, left = round((rows - height) * y), round((columns - width) * x)
        return content[:, top : top + height, left : left + width]

    return crop


def _blank(side: int) -> Alteration:
    """Blacken half of the content: 0 to 3 are left, right, top, bottom."""

    def blank(content: Tensor, _: torch.Generator) -> Tensor:
        content = content.clone()
        axis = 2 if side < 2 else 1
        half = content.shape[axis] // 2
        content.narrow(axis, 0 if side % 2 == 0 else content.shape[axis] - half, half).zero_()
        return content

    return blank


def _blurred(radius: int) -> Alteration:
    def blur(content: Tensor, _: torch.Generator) -> Tensor:
        for _turn in range(3):  # three box filters are close to a Gaussian
            padded = F.pad(content[None], (radius,) * 4, mode="replicate")
            content = F.avg_pool2d(padded, 2 * radius + 1, 1)[0]
        return content

    return blur


def _noisy(deviation: float) -> Alteration:
    def add_noise(content: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(content.shape[1:], generator=generator)
        return (content + deviation * noise).clamp(0, 1)

    return add_noise


ALTERATIONS: Mapping[str, Alteration] = {
    "inverted": _inverted,
    "inverted inside": _inverted_inside,
    "cropped": _cropped(0.65),
    "turned by 90": _turned(1),
    "turned by 180": _turned(2),
    "turned by 270": _turned(3),
    "mirrored": _mirrored(2),
    "upside down": _mirrored(1),
    "left half blank": _blank(0),
    "right half blank": _blank(1),
    "upper half blank": _blank(2),
    "lower half blank": _blank(3),
    "blurred": _blurred(3),
    "noisy": _noisy(0.12),
}
"""Alterations by name."""
