"""Which pixels show the body, and which are background around it."""

import torch
from torch import Tensor
from torch.nn import functional as F

_LEVEL = 0.04
_REACH = 4


def foreground(image: Tensor) -> Tensor:
    """Pixels that are brighter than the dark surround, small gaps closed.

    Args:
        image: float32 in [0, 1], shape (3, H, W).

    Returns:
        bool, shape (H, W); all true where nothing would be left.
    """
    bright = (image.mean(0) > image.min() + _LEVEL * (image.max() - image.min())).float()
    size = 2 * _REACH + 1
    wide = F.max_pool2d(bright[None, None], size, stride=1, padding=_REACH)
    closed = -F.max_pool2d(-wide, size, stride=1, padding=_REACH)
    body = closed[0, 0] > 0.5
    return body if bool(body.any()) else torch.ones_like(body)
