"""What every picture sheet shares: colours, letters, and a tile that keeps its aspect ratio."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFont

BACKGROUND = (16, 18, 22)
TEXT = (232, 232, 236)
MUTED = (150, 152, 160)
MARK = (60, 200, 255)
"""Of a drawn truth or label."""

Colour = tuple[int, int, int]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Letters of a size in pixels, of the font that Pillow brings along."""
    return ImageFont.load_default(size=size)


def to_picture(image: Floats) -> Image.Image:
    """An image (rows, columns, 3) float32 as 8 bits; what leaves [0, 1] is cut off."""
    return Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))


def tile(
    image: Floats, side: int, *, rows: int | None = None, columns: int | None = None
) -> Image.Image:
    """The image in the middle of a black square, as large as fits.

    Args:
        image: (h, w, 3) float32 in [0, 1].
        side: of the square, in pixels.
        rows: height of the original, where the image has another aspect ratio than that.
        columns: width of the original.
    """
    rows, columns = rows or image.shape[0], columns or image.shape[1]
    scale = side / max(rows, columns)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    square = Image.new("RGB", (side, side))
    square.paste(
        to_picture(image).resize(size, Image.Resampling.BILINEAR),
        ((side - size[0]) // 2, (side - size[1]) // 2),
    )
    return square


def tint(image: Floats, where: Bools, colour: Colour, *, share: float = 0.5) -> Floats:
    """A copy of an image (rows, columns, 3), mixed with a colour where asked."""
    mixed = image.copy()
    mixed[where] = (1 - share) * image[where] + share * np.asarray(colour, dtype=np.float32) / 255
    return mixed
