"""Picture files (PNG, JPEG, TIFF, BMP) as RGB arrays, windowed like DICOM images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ai_core.errors import PictureError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})

_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO, _BLACK_IS_ZERO = 262, 0, 1

# Where no window is given and the values are not plain 8 bits, this share of the pixels is cut
# off at either end: a bright label or a hot pixel then does not darken the anatomy.
_FALLBACK_PERCENTILES = (0.5, 99.5)


def read_picture(path: Path) -> npt.NDArray[np.float32]:
    """Decode a picture file.

    Eight bits are taken as they are. Deeper grey has no window that would say what is black and
    white, so it is shown between percentiles, as a DICOM image without a window is; where 0 is
    white (a TIFF's WhiteIsZero), it is turned over. Transparent pixels are black, as what is
    outside of an image is.

    Returns:
        (rows, columns, 3) float32 in [0, 1].

    Raises:
        PictureError: The file is damaged or no picture, or holds several.
    """
    try:
        with Image.open(path) as picture:
            if getattr(picture, "n_frames", 1) > 1:
                raise PictureError(f"{path} holds several pictures; save each as a file of its own")
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith(("I", "F")):
                grey = between_percentiles(np.asarray(upright)).astype(np.float32)
                if _is_white_zero(picture):
                    grey = 1 - grey
                return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
            if upright.has_transparency_data:
                upright = Image.alpha_composite(
                    Image.new("RGBA", upright.size, "black"), upright.convert("RGBA")
                )
            return np.asarray(upright.convert("RGB")).astype(np.float32) / np.float32(255)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path} can't be read as a picture: {error}") from error


def _is_white_zero(picture: Image.Image) -> bool:
    """Whether 0 is white in a TIFF, which Pillow undoes for up to 8 bits only."""
    tags = getattr(picture, "tag_v2", {})
    return bool(tags.get(_TIFF_PHOTOMETRIC, _BLACK_IS_ZERO) == _WHITE_IS_ZERO)


def between_percentiles(
    values: npt.NDArray[Any], padding: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[Any]:
    """Scale values to [0, 1] by what most of them span; outliers are cut off.

    Args:
        values: any shape and number type; what is not finite becomes 0.
        padding: values that take no part in the choice of the span.

    Raises:
        ValueError: no value is finite.
    """
    seen = values if padding is None else values[~padding]
    if seen.size == 0:
        return np.zeros(values.shape, dtype=np.float32)
    finite = seen[np.isfinite(seen)] if seen.dtype.kind == "f" else seen
    if finite.size == 0:
        raise ValueError("no pixel has a finite value")
    low, high = (float(value) for value in np.percentile(finite, _FALLBACK_PERCENTILES))
    if high <= low:
        low, high = float(finite.min()), float(finite.max())
    if high <= low:
        return np.zeros(values.shape, dtype=np.float32)
    scaled = (values.astype(np.float64) - low) / (high - low)
    return np.clip(np.nan_to_num(scaled, nan=0.0), 0, 1)
