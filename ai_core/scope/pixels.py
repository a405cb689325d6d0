"""Pixel statistics of images: grey levels, and the shape and place of the foreground."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BLACK = 0.02
"""Grey level up to which a pixel is background in the grey statistics: padding and collimation."""

_LEVELS = 256
_QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_BINS = 16
_OCTAVES = 5
_FOREGROUND = 0.03
_COARSE = 14
_BOX_SIDE = 96
_BOX_CELLS = 12
_DIRECTIONS = 8
_DIRECTION_CELLS = 4

SHAPE_PARTS = (24, _COARSE**2, 5, _BOX_CELLS**2, _DIRECTIONS * _DIRECTION_CELLS**2)
"""Widths of the shape statistics: foreground, coarse picture, box, picture and edges in the box."""


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """Grey and shape statistics of N images.

    Attributes:
        grey: quantiles, histogram, sharpness at several scales, noise and colour, float32 on the
            CPU, shape (N, 36).
        shape: foreground area, centre, extent, symmetry and border contact; coarse picture;
            picture and edge directions within the foreground's box, float32 on the CPU, shape
            (N, 497).
    """

    grey: Tensor
    shape: Tensor


def measure_pixels(images: Tensor) -> PixelStatistics:
    """Measure grey and shape statistics.

    Args:
        images: float32 RGB in [0, 1], shape (N, 3, 224, 224), on any device; N at least 1.

    Example:
        >>> import torch
        >>> from ai_core.scope import measure_pixels
        >>> found = measure_pixels(torch.rand(2, 3, 224, 224))
        >>> found.grey.shape, found.shape.shape
        (torch.Size([2, 36]), torch.Size([2, 497]))
    """
    images = images.float().cpu()
    plane = images.mean(1, keepdim=True)
    half = F.avg_pool2d(plane, 2)  # shape needs no finer grid
    return PixelStatistics(
        grey=torch.cat([_grey_levels(plane), _sharpness(plane), _colour(images)], dim=1),
        shape=torch.cat([_foreground_shape(half), _coarse(half), *_in_box(half)], dim=1),
    )


def content_boxes(images: Tensor) -> list[tuple[int, int, int, int]]:
    """Find the rectangle that is not padding: (top, bottom, left, right), ends exclusive.

    Rows and columns that are 0 throughout, at an edge, are padding. A black image is all content.
    """
    lit = images.amax(1) > 0
    boxes = []
    for image in lit:
        rows, columns = image.any(1).nonzero().flatten(), image.any(0).nonzero().flatten()
        if len(rows) == 0:
            boxes.append((0, image.shape[0], 0, image.shape[1]))
            continue
        boxes.append((int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1))
    return boxes


def _grey_levels(plane: Tensor) -> Tensor:
    """Quantiles of the pixels above `BLACK`, of all pixels, and a histogram; (N, 28)."""
    flat = plane.flatten(1)
    levels = (flat * (_LEVELS - 1)).round().long()
    counts = torch.zeros(len(flat), _LEVELS).scatter_add_(1, levels, torch.ones_like(flat))
    lit = counts.clone()
    lit[:, : math.ceil(BLACK * (_LEVELS - 1)) + 1] = 0
    black = lit.sum(1) < 1
    lit[black] = counts[black]
    shares = lit / lit.sum(1, keepdim=True)
    histogram = shares.reshape(len(flat), _BINS, -1).sum(2).sqrt()
    return torch.cat(
        [_quantiles(counts, _QUANTILES[2:6]), _quantiles(lit, _QUANTILES), histogram], dim=1
    )


def _quantiles(counts: Tensor, shares: tuple[float, ...]) -> Tensor:
    cumulated = (counts / counts.sum(1, keepdim=True)).cumsum(1)
    asked = torch.tensor(shares).expand(len(counts), -1).contiguous()
    return torch.searchsorted(cumulated, asked).clamp(max=_LEVELS - 1) / (_LEVELS - 1)


def _sharpness(plane: Tensor) -> Tensor:
    """Log mean detail at five scales, and of the finest its median and 99 % quantile; (N, 7)."""
    found = []
    for octave in range(_OCTAVES):
        blurred = F.avg_pool2d(F.pad(plane, (1,) * 4, mode="replicate"), 3, 1)
        detail = (plane - blurred).abs().flatten(1)
        found.append((detail.mean(1) + 1e-4).log())
        if octave == 0:
            # The median of the lit pixels' finest detail is noise; its highest percentile is edges.
            lit = plane.flatten(1) > BLACK
            lit[~lit.any(1)] = True
            median = torch.stack([d[m].median() for d, m in zip(detail, lit, strict=True)])
            rare = detail.topk(detail.shape[1] // 100, dim=1).values[:, -1]
            found += [(median + 1e-4).log(), (rare + 1e-4).log()]
        plane = F.avg_pool2d(plane, 2)
    return torch.stack(found, dim=1)


def _colour(images: Tensor) -> Tensor:
    """Log mean spread of the channels; (N, 1)."""
    spread = (images.amax(1) - images.amin(1)).flatten(1).mean(1)
    return (spread + 1e-3).log()[:, None]


def _two_means(plane: Tensor) -> Tensor:
    """Threshold midway between the means of both sides, by ISODATA; (N, 1, 1)."""
    grey = plane[:, 0]
    threshold = grey.mean((1, 2), keepdim=True)
    for _ in range(8):
        high = grey > threshold
        above = (grey * high).sum((1, 2), keepdim=True) / high.sum((1, 2), keepdim=True).clamp(1)
        below = (grey * ~high).sum((1, 2), keepdim=True) / (~high).sum((1, 2), keepdim=True).clamp(
            1
        )
        threshold = (above + below) / 2
    return threshold


def _foreground_shape(plane: Tensor) -> Tensor:
    """Area, moments, asymmetry and border contact of two foregrounds; (N, 24)."""
    grey = plane[:, 0]
    size = grey.shape[-1]
    line = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(line, line, indexing="ij")
    found: list[Tensor] = []
    for inside in (grey > _FOREGROUND, grey > _two_means(plane)):
        mask = inside.float()
        total = mask.sum((1, 2)).clamp(min=1)
        cx, cy = (mask * x).sum((1, 2)) / total, (mask * y).sum((1, 2)) / total
        dx, dy = x - cx[:, None, None], y - cy[:, None, None]
        found += [
            mask.mean((1, 2)),
            cx,
            cy,
            *((mask * moment).sum((1, 2)) / total for moment in (dx * dx, dy * dy, dx * dy)),
            (mask - mask.flip(2)).abs().mean((1, 2)),
            (mask - mask.flip(1)).abs().mean((1, 2)),
            mask[:, 0].mean(1),
            mask[:, -1].mean(1),
            mask[:, :, 0].mean(1),
            mask[:, :, -1].mean(1),
        ]
    return torch.stack(found, dim=1)


def _coarse(plane: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(plane, _COARSE).flatten(1)


def _in_box(plane: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Picture and edge directions within the foreground's box, and the box.

    Free of where in the image the anatomy is and how large: brains in two crops look alike here,
    and one that is upside down does not.
    """
    theta, box = _box(plane)
    grid = F.affine_grid(theta, [len(plane), 1, _BOX_SIDE, _BOX_SIDE], align_corners=False)
    cut = F.grid_sample(plane, grid, align_corners=False, padding_mode="border")
    cells = F.adaptive_avg_pool2d(cut, _BOX_CELLS).flatten(1)
    cells = (cells - cells.mean(1, keepdim=True)) / (cells.std(1, keepdim=True) + BLACK)
    return box, cells, _edge_directions(cut)


def _box(plane: Tensor) -> tuple[Tensor, Tensor]:
    size = plane.shape[-1]
    inside = (plane[:, 0] > _two_means(plane) / 2).float()
    top, bottom = _ends(inside.mean(2) > 0.05)
    left, right = _ends(inside.mean(1) > 0.05)
    height, width = (bottom - top).clamp(min=16), (right - left).clamp(min=16)
    theta = torch.zeros(len(plane), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = width / size, height / size
    theta[:, 0, 2] = (2 * left + width) / size - 1
    theta[:, 1, 2] = (2 * top + height) / size - 1
    sides = [side / size for side in (top, bottom, left, right)]
    return theta, torch.stack([*sides, (height / width).log()], dim=1)


def _ends(lit: Tensor) -> tuple[Tensor, Tensor]:
    """First lit position and the one after the last, float, shape (N,); all where none is lit."""
    lit = lit | ~lit.any(1, keepdim=True)
    size = lit.shape[1]
    return lit.float().argmax(1).float(), size - lit.flip(1).float().argmax(1).float()


def _edge_directions(cut: Tensor) -> Tensor:
    """Signed gradient directions in cells, as in HOG; signed, so that a mirrored edge differs."""
    smooth = F.avg_pool2d(cut, 3, 1, 1)
    gx = smooth[:, :, 1:-1, 2:] - smooth[:, :, 1:-1, :-2]
    gy = smooth[:, :, 2:, 1:-1] - smooth[:, :, :-2, 1:-1]
    magnitude = (gx.square() + gy.square()).sqrt()
    place = torch.atan2(gy, gx) / (2 * math.pi) * _DIRECTIONS % _DIRECTIONS
    found = []
    for direction in range(_DIRECTIONS):
        apart = (place - direction).abs()
        share = (1 - torch.minimum(apart, _DIRECTIONS - apart)).clamp(min=0)
        found.append(F.adaptive_avg_pool2d(magnitude * share, _DIRECTION_CELLS))
    cells = torch.cat(found, dim=1).flatten(1)
    return (cells / (cells.sum(1, keepdim=True) + 1e-3)).sqrt()
