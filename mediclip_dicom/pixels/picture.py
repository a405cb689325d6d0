"""Picture files (PNG, JPEG, TIFF, BMP) to what a reader sees, as if they were DICOM images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mediclip_dicom.errors import PictureError
from mediclip_dicom.pixels.display import between_percentiles

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def read_picture(path: Path) -> npt.NDArray[np.float32]:
    """Decode a picture file.

    Eight bits are taken as they are. Deeper grey has no window that would say what is black and
    white, so it is shown between percentiles, as a DICOM image without a window is.

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
                return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
            return np.asarray(upright.convert("RGB")).astype(np.float32) / np.float32(255)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path} can't be read as a picture: {error}") from error
