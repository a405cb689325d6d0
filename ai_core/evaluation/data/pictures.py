"""Pictures to the detector's input, masks to the truth, and maps back to the picture's frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from ai_core.errors import EvaluationError
from ai_core.evaluation.data.datasets import Item
from ai_core.images import IMAGE_SIZE, Mode, Placement, body_box, read_picture

_MOST_CLASSES = 16
"""Different values of a mask above which they are no classes."""

FRAME = IMAGE_SIZE
"""Side of the frame in which maps meet the truth: the picture's own area, stretched to a square.

Both geometries are measured in it, so that neither gains by the black border that "pad" adds.
"""


@dataclass(frozen=True, slots=True)
class Look:
    """What is done to a picture before the detector sees it.

    Attributes:
        crop: show the box around the body alone.
        tiles: times that it is enlarged, to be seen in overlapping tiles; 1 to 4.
    """

    crop: bool = False
    tiles: int = 1

    @property
    def passes(self) -> int:
        """Passes of the frozen tower for a picture."""
        return (2 * self.tiles - 1) ** 2


PLAIN = Look()
"""The whole picture in one pass."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as the detector takes it.

    Attributes:
        image: float32 in [0, 1], shape (3, 224, 224), or so many times larger as it has tiles.
        placement: rectangle of the picture in a square of 224x224.
    """

    image: Tensor
    placement: Placement


def read_item(item: Item, *, geometry: Mode, look: Look = PLAIN) -> Picture:
    """Read a picture into the detector's input.

    Raises:
        PictureError: it can't be read.
    """
    rgb = read_picture(item.path)
    placement = Placement(
        rows=rgb.shape[0],
        columns=rgb.shape[1],
        size=IMAGE_SIZE,
        mode=geometry,
        box=body_box(rgb) if look.crop else None,
    )
    square = placement.to_input(rgb, times=look.tiles)
    return Picture(image=torch.from_numpy(square), placement=placement)


def read_support(items: Sequence[Item], *, geometry: Mode, look: Look = PLAIN) -> Tensor:
    """Read a support set, float32 in [0, 1], shape (k, 3, 224, 224), or larger for tiles.

    Raises:
        PictureError: a picture can't be read.
    """
    return torch.stack([read_item(item, geometry=geometry, look=look).image for item in items])


def read_truth(item: Item, *, rows: int, columns: int) -> Tensor | None:
    """Read the lesion mask into the frame, bool, shape (224, 224); None where none is drawn.

    A pixel is anomalous if at least half of its area is; a lesion too small for that keeps the
    pixels that it fills most. Normal pictures have an empty truth.

    Args:
        item: the picture.
        rows: its height.
        columns: its width.

    Raises:
        EvaluationError: a mask can't be read, or is of another size than the picture.
    """
    if not item.abnormal:
        return torch.zeros(FRAME, FRAME, dtype=torch.bool)
    if not item.masks:
        return None
    union = np.zeros((rows, columns), dtype=bool)
    for path in item.masks:
        mask = read_mask(path)
        if mask.shape != union.shape:
            raise EvaluationError(
                f"{path} is {mask.shape[0]}x{mask.shape[1]} pixels, its picture "
                f"{item.path.name} is {rows}x{columns}; a mask must have its picture's size"
            )
        union |= mask
    if not union.any():
        return None
    frame = Placement(rows=rows, columns=columns, size=FRAME, mode="stretch")
    share = frame.to_input(np.repeat(union[..., None].astype(np.float32), 3, axis=2))[0]
    return torch.from_numpy(share >= min(0.5, float(share.max())))


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask file, bool, shape (rows, columns).

    The value of a pixel is its highest channel; a transparent pixel has none, and where only
    transparency varies, opacity is the value. A pixel is marked if its value is above 0: masks of
    0 and 1, 0 and 255, class numbers and colours are read alike. In a JPEG file, or with more than
    16 different values (noise of compression, smoothed edges), it is marked from half of the
    highest value on.

    Raises:
        EvaluationError: it can't be read.
    """
    try:
        with Image.open(path) as picture:
            lossy = picture.format == "JPEG"
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                channels = np.asarray(upright.convert("RGBA"))
                opaque = channels[..., 3]
                values = channels[..., :3].max(axis=2)
                is_drawn = bool(values[opaque > 0].any())
                values = np.where(opaque > 0, values, 0) if is_drawn else opaque
            elif upright.mode.startswith(("I", "F")):
                values = np.asarray(upright)
            else:
                values = np.asarray(upright.convert("RGB")).max(axis=2)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise EvaluationError(f"{path} can't be read as a mask: {error}") from error
    if lossy or len(np.unique(values)) > _MOST_CLASSES:
        highest = values.max()
        marked: npt.NDArray[np.bool_] = (values > 0) & (values >= highest / 2)
        return marked
    return np.asarray(values > 0)


def to_frame(maps: Tensor, placements: Sequence[Placement]) -> Tensor:
    """Bring maps from the detector's input to the frame, leaving a border behind.

    Args:
        maps: float32, shape (N, 224, 224).
        placements: rectangle of each picture.

    Returns:
        float32, shape (N, 224, 224); 0 outside the box of a placement.
    """
    framed = [_framed(one, placement) for one, placement in zip(maps, placements, strict=True)]
    return torch.stack(framed) if framed else maps


def _framed(one: Tensor, placement: Placement) -> Tensor:
    if placement.box is not None:
        frame = Placement(
            rows=placement.rows, columns=placement.columns, size=FRAME, mode="stretch"
        )
        on_source = placement.to_source(one.numpy())
        return torch.from_numpy(frame.to_input(np.repeat(on_source[..., None], 3, axis=2))[0])
    if placement.mode == "stretch":
        return one
    return F.interpolate(
        torch.from_numpy(placement.crop(one.numpy()))[None, None],
        (FRAME, FRAME),
        mode="bilinear",
        align_corners=False,
    )[0, 0]
