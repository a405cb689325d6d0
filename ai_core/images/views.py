"""Views of an image: one detector input for each window and tile, and their maps as one again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai_core.images.placement import IMAGE_SIZE

MOST_TILES_ALONG = 4
"""Largest enlargement: 49 tiles an image."""

_STEP = IMAGE_SIZE // 2

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Detector inputs that one image is shown in, and the exact way back to one map.

    A window is a rendering of the image's values; each has all tiles. An image enlarged `tiles`
    times has (2 tiles - 1)² tiles of 224x224, each overlapping its neighbours by half. The views of
    an image follow one another: window by window, in it tile by tile, row by row.

    Attributes:
        windows: renderings of an image, at least 1.
        tiles: enlargement of the square before it is cut, 1 to 4; 1 shows it as one tile.

    Raises:
        ValueError: a number outside these.

    Example:
        >>> from ai_core import Views
        >>> Views(windows=2).count, Views(tiles=2).count, Views().count
        (2, 9, 1)
    """

    windows: int = 1
    tiles: int = 1

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise ValueError(f"an image is shown in at least one window, not {self.windows}")
        if not 1 <= self.tiles <= MOST_TILES_ALONG:
            raise ValueError(
                f"an image is enlarged 1 to {MOST_TILES_ALONG} times for its tiles, not "
                f"{self.tiles} times"
            )

    @property
    def count(self) -> int:
        """Views of one image, and so passes of the frozen tower."""
        return self.windows * len(self._corners) ** 2

    @property
    def _corners(self) -> range:
        """First row, and first column, of each tile."""
        return range(0, (self.tiles - 1) * IMAGE_SIZE + 1, _STEP)

    def cut(self, square: Floats) -> Floats:
        """Cut the enlarged square of one window into its tiles.

        Args:
            square: float32, shape (3, tiles * 224, tiles * 224).

        Returns:
            float32, shape (views of a window, 3, 224, 224).

        Raises:
            ValueError: a square of another size.
        """
        side = self.tiles * IMAGE_SIZE
        if square.shape != (3, side, side):
            raise ValueError(f"the views are of squares (3, {side}, {side}), not {square.shape}")
        return np.stack(
            [
                square[:, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
                for top in self._corners
                for left in self._corners
            ]
        )

    def merge(self, maps: Floats) -> Floats:
        """Combine the maps of views into one map of each image.

        Overlapping tiles are averaged, each with a weight that falls linearly to its edge; the
        whole is then shrunk to 224x224 by means. Windows are combined by the maximum of each
        pixel, which is that of the log-odds, since the map's scale rises with them.

        Args:
            maps: of all views of n images in their order, in [0, 1], shape (n * count, 224, 224).

        Returns:
            float32, shape (n, 224, 224), on the square that is not enlarged.

        Raises:
            ValueError: the number of maps is no multiple of `count`.
        """
        if self.count == 1:
            return maps
        if len(maps) % self.count:
            raise ValueError(f"{len(maps)} maps are not those of images in {self.count} views")
        along = len(self._corners)
        parts = maps.reshape(-1, along, along, IMAGE_SIZE, IMAGE_SIZE)
        squares = np.stack([self._blend(part) for part in parts])
        by_image = squares.reshape(-1, self.windows, IMAGE_SIZE, IMAGE_SIZE)
        return np.ascontiguousarray(by_image.max(axis=1))

    def _blend(self, tiles: Floats) -> Floats:
        """Average overlapping tiles, shape (along, along, 224, 224), and shrink to (224, 224)."""
        if self.tiles == 1:
            return tiles[0, 0]
        weights = self._weights()
        side = self.tiles * IMAGE_SIZE
        square = np.zeros((side, side), dtype=np.float32)
        for row, top in enumerate(self._corners):
            for column, left in enumerate(self._corners):
                square[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE] += (
                    tiles[row, column] * weights[row][:, None] * weights[column][None, :]
                )
        cells = square.reshape(IMAGE_SIZE, self.tiles, IMAGE_SIZE, self.tiles)
        return cells.mean(axis=(1, 3), dtype=np.float32)

    def _weights(self) -> list[Floats]:
        """Weights of each tile along one side; those of overlapping tiles add up to 1."""
        places = np.arange(IMAGE_SIZE, dtype=np.float32)
        falling = np.minimum(places + 0.5, IMAGE_SIZE - 0.5 - places)
        total = np.zeros(self.tiles * IMAGE_SIZE, dtype=np.float32)
        for corner in self._corners:
            total[corner : corner + IMAGE_SIZE] += falling
        return [falling / total[corner : corner + IMAGE_SIZE] for corner in self._corners]
