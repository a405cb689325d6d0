"""Frames of an image, decoded one at a time as display RGB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mediclip_dicom.errors import UndecodableFrameError, UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging.decoding import iter_stored
from mediclip_dicom.imaging.display import Window, to_rgb
from mediclip_dicom.imaging.header import read_attributes


@dataclass(frozen=True, slots=True)
class Frame:
    """Frame as it is displayed.

    Attributes:
        number: 1-based frame number.
        rgb: (rows, columns, 3) float32 in [0, 1].
    """

    number: int
    rgb: npt.NDArray[np.float32]


def iter_frames(path: Path, *, window: Window | None = None) -> Iterator[Frame]:
    """Decode an image frame by frame; memory holds one frame whatever the image's length.

    Args:
        path: a DICOM Part 10 file with pixel data.
        window: a window in modality units to use instead of the header's VOI LUT or window.

    Raises:
        UnsupportedImageError: the file holds no pixel data.
        UndecodableFrameError: a frame is truncated, broken, or in a form no decoder reads. Frames
            before it have been yielded.
    """
    path = Path(path)
    dataset, has_pixel_data = read_attributes(path)
    if not has_pixel_data:
        raise UnsupportedImageError(UnsupportedReason.NO_PIXEL_DATA, detail="nothing to decode")
    uid = str(dataset.get("SOPInstanceUID", "unknown"))
    expected = max(1, int(dataset.get("NumberOfFrames") or 1))
    number = 0
    try:
        for number, stored in enumerate(iter_stored(path, dataset), start=1):
            yield Frame(number, to_rgb(stored, dataset, frame_index=number - 1, window=window))
    except GeneratorExit:
        raise
    except Exception as error:
        # Decoders fail in many ways (RuntimeError, ValueError, struct.error, ...): all mean this.
        raise UndecodableFrameError(
            sop_instance_uid=uid,
            frame_number=min(number + 1, expected),
            reason=" ".join(f"{type(error).__name__}: {error}".split())[:300],
        ) from error
    if number != expected:
        raise UndecodableFrameError(
            sop_instance_uid=uid,
            frame_number=number + 1,
            reason=f"the header announces {expected} frames, the pixel data holds {number}",
        )
