"""Views of an image: one detector input for each window, and their maps as one again."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Detector inputs that one image is shown in; they follow one another, image by image.

    Attributes:
        windows: renderings of an image's values, at least 1.

    Raises:
        ValueError: a number below 1.

    Example:
        >>> import numpy as np
        >>> from ai_core import Views
        >>> Views(windows=2).merge(np.float32([[[0.1, 0.9]], [[0.3, 0.2]]]))
        array([[[0.3, 0.9]]], dtype=float32)
    """

    windows: int = 1

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise ValueError(f"an image is shown in at least one window, not {self.windows}")

    @property
    def count(self) -> int:
        """Detector inputs of one image."""
        return self.windows

    def merge(self, maps: Floats) -> Floats:
        """Combine the maps of views by the maximum of each pixel.

        It is that of the log-odds, since the map's scale rises with them.

        Args:
            maps: of all views of n images in their order, shape (n * count, rows, columns).

        Returns:
            Shape (n, rows, columns).

        Raises:
            ValueError: the number of maps is no multiple of `count`.
        """
        if len(maps) % self.count:
            raise ValueError(f"{len(maps)} maps are not those of images in {self.count} views")
        merged: Floats = maps.reshape(-1, self.count, *maps.shape[1:]).max(axis=1)
        return merged
