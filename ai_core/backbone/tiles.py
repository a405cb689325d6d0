"""Tiles: a large image is seen in overlapping parts, whose tokens become one finer grid."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ai_core.images import IMAGE_SIZE


@dataclass(frozen=True, slots=True)
class Tiling:
    """Overlapping 224x224 parts of a square, and the blend of their tokens to one grid.

    Along a side enlarged `times` times there are 2 times - 1 tiles, each overlapping its neighbours
    by about half, at whole patches. Where tiles overlap, a token is their mean, each with a weight
    that falls linearly to the tile's edge.

    Attributes:
        times: side of the square over 224, from 2.
        grid: patches along a side of one tile.
    """

    times: int
    grid: int

    @property
    def corners(self) -> list[int]:
        """First patch of each tile along a side."""
        places = torch.linspace(0, (self.times - 1) * self.grid, 2 * self.times - 1)
        return [int(place) for place in places.round()]

    def cut(self, images: Tensor) -> Tensor:
        """Cut images, shape (N, 3, times * 224, times * 224), to (N * tiles, 3, 224, 224)."""
        starts = [round(corner * IMAGE_SIZE / self.grid) for corner in self.corners]
        tiles = [
            images[:, :, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
            for top in starts
            for left in starts
        ]
        return torch.stack(tiles, dim=1).flatten(0, 1)

    def join(self, tokens: Tensor) -> Tensor:
        """Blend the tokens of tiles to those of their images.

        Args:
            tokens: of all tiles, shape (N * tiles, blocks, grid², width).

        Returns:
            Shape (N, blocks, (times * grid)², width), in the order of rows.
        """
        corners, grid, side = self.corners, self.grid, self.times * self.grid
        blocks, width = tokens.shape[1], tokens.shape[3]
        parts = tokens.view(-1, len(corners), len(corners), blocks, grid, grid, width)
        joined = tokens.new_zeros(len(parts), blocks, side, side, width)
        weights = [weight.to(tokens) for weight in self._weights()]
        for row, top in enumerate(corners):
            for column, left in enumerate(corners):
                weight = weights[row][:, None, None] * weights[column][None, :, None]
                joined[:, :, top : top + grid, left : left + grid] += parts[:, row, column] * weight
        return joined.flatten(2, 3)

    def _weights(self) -> list[Tensor]:
        """Weights of each tile along a side; those of overlapping tiles add up to 1."""
        places = torch.arange(self.grid, dtype=torch.float32)
        falling = torch.minimum(places + 0.5, self.grid - 0.5 - places)
        total = torch.zeros(self.times * self.grid)
        for corner in self.corners:
            total[corner : corner + self.grid] += falling
        return [falling / total[corner : corner + self.grid] for corner in self.corners]
