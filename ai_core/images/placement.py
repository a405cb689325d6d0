"""Placement of an image in the detector's square input, and its exact inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

IMAGE_SIZE = 224
"""Side of an image in pixels, as in the paper."""

MOST_TIMES = 4
"""Most times that an image may be larger along a side; the tower then sees it in tiles."""

Mode = Literal["pad", "stretch"]

Box = tuple[int, int, int, int]
"""Part of a source image: first row, first column, rows and columns, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The rectangle of the square input that an image fills.

    Both directions use Pillow's bilinear filter, whose support grows when shrinking (that is the
    antialiasing) and whose pixel centres are at half coordinates: source row edge `y` in
    [0, rows] and input row edge `top + y * height / rows` are the same place, both ways.

    Attributes:
        rows: height of the source in pixels.
        columns: width of the source in pixels.
        size: side of the square input in pixels.
        mode: "pad" keeps the physical aspect ratio and fills up with black; "stretch" fills the
            square, as the authors of MediCLIP do.
        pixel_aspect: height of a source pixel over its width; "pad" honours it.
        box: part of the source that is placed; None places all of it. A map says nothing of the
            rest, which counts as normal.
    """

    rows: int
    columns: int
    size: int = IMAGE_SIZE
    mode: Mode = "pad"
    pixel_aspect: float = 1.0
    box: Box | None = None

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.size) < 1:
            raise ValueError(
                f"a placement needs at least one pixel, not {self.rows}x{self.columns} "
                f"in {self.size}"
            )
        if not self.pixel_aspect > 0:
            raise ValueError(f"a pixel's aspect must be positive, not {self.pixel_aspect}")
        top, left, rows, columns = self.source_box
        inside = min(top, left) >= 0 and min(rows, columns) >= 1
        if not inside or top + rows > self.rows or left + columns > self.columns:
            raise ValueError(
                f"the box of {rows}x{columns} pixels at {top}, {left} is not inside an image of "
                f"{self.rows}x{self.columns}"
            )

    @property
    def source_box(self) -> Box:
        """Part of the source that is placed, all of it without a box."""
        return self.box or (0, 0, self.rows, self.columns)

    @property
    def height(self) -> int:
        """Rows of the input that the image fills."""
        return self._extent(self.source_box[2] * self.pixel_aspect)

    @property
    def width(self) -> int:
        """Columns of the input that the image fills."""
        return self._extent(float(self.source_box[3]))

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input for each pixel of the source, along rows and columns."""
        return self.height / self.source_box[2], self.width / self.source_box[3]

    @property
    def top(self) -> int:
        """First row of the input that the image fills."""
        return (self.size - self.height) // 2

    @property
    def left(self) -> int:
        """First column of the input that the image fills."""
        return (self.size - self.width) // 2

    def to_input(self, rgb: npt.NDArray[np.float32], *, times: int = 1) -> npt.NDArray[np.float32]:
        """Resample an image into the square input.

        Args:
            rgb: (rows, columns, 3) float32 in [0, 1].
            times: makes the square and the rectangle in it so many times larger.

        Returns:
            (3, times * size, times * size) float32 in [0, 1]; 0 where the image does not reach.

        Raises:
            ValueError: the image is not of the size that this placement is for.
        """
        if rgb.shape != (self.rows, self.columns, 3):
            raise ValueError(
                f"the placement is for {self.rows}x{self.columns}x3, the image is {rgb.shape}"
            )
        square = np.zeros((3, times * self.size, times * self.size), dtype=np.float32)
        inside = self._inside(times)
        rgb = rgb[self._boxed()]
        grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())
        for channel in range(1 if grey else 3):
            plane = _resampled(
                rgb[..., channel], rows=times * self.height, columns=times * self.width
            )
            square[(channel, *inside)] = plane
        if grey:
            square[1:] = square[0]
        return square

    def to_source(self, anomaly_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Resample a map of the square input onto the source's pixels.

        Args:
            anomaly_map: (size, size) float32.

        Returns:
            (rows, columns) float32, within the map's own range; 0 outside the box.

        Raises:
            ValueError: the map is not (size, size).
        """
        _, _, rows, columns = self.source_box
        found = _resampled(self.crop(anomaly_map), rows=rows, columns=columns)
        if self.box is None:
            return found
        whole = np.zeros((self.rows, self.columns), dtype=np.float32)
        whole[self._boxed()] = found
        return whole

    def crop(self, anomaly_map: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the part of a map that covers the placed part of the source, as a view.

        Its shape is (height, width).

        Raises:
            ValueError: the map is not (size, size).
        """
        if anomaly_map.shape != (self.size, self.size):
            raise ValueError(
                f"the placement is for a map of {self.size}x{self.size}, not {anomaly_map.shape}"
            )
        return anomaly_map[self._inside(1)]

    def _inside(self, times: int) -> tuple[slice, slice]:
        return (
            slice(times * self.top, times * (self.top + self.height)),
            slice(times * self.left, times * (self.left + self.width)),
        )

    def _boxed(self) -> tuple[slice, slice]:
        top, left, rows, columns = self.source_box
        return slice(top, top + rows), slice(left, left + columns)

    def _extent(self, length: float) -> int:
        if self.mode == "stretch":
            return self.size
        _, _, rows, columns = self.source_box
        longest = max(rows * self.pixel_aspect, float(columns))
        return min(self.size, max(1, round(length * self.size / longest)))


def _resampled(
    plane: npt.NDArray[np.float32], *, rows: int, columns: int
) -> npt.NDArray[np.float32]:
    if plane.shape == (rows, columns):
        return np.array(plane, dtype=np.float32)
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32), mode=None)
    resized = picture.resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32)
