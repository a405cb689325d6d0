"""Images of a study in reading order, and as detector inputs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai_core.images import Mode, Placement
from mediclip_dicom.errors import UndecodableFrameError, UnsupportedImageError
from mediclip_dicom.imaging.display import Window
from mediclip_dicom.imaging.frames import iter_frames
from mediclip_dicom.imaging.header import ImageHeader, read_header

INPUT_SIZE = 224


@dataclass(frozen=True, slots=True)
class SourceImage:
    """Image SOP instance: its file and its header."""

    path: Path
    header: ImageHeader


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """File that is not analysed, and the reason."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class InputFrame:
    """Frame as the detector takes it.

    Attributes:
        image: The SOP instance that it belongs to.
        frame: frame number, from 1.
        pixels: float32, shape (3, 224, 224), in [0, 1]; None where it can't be decoded.
        skipped: reason why it can't be decoded, else None.
    """

    image: SourceImage
    frame: int
    pixels: npt.NDArray[np.float32] | None
    skipped: str | None = None


def read_headers(
    paths: Iterable[Path], *, own_device_uid: str | None = None
) -> tuple[tuple[SourceImage, ...], tuple[SkippedFile, ...]]:
    """Read the headers of DICOM files, and separate images from other instances.

    Args:
        paths: Part 10 files.
        own_device_uid: this node's device UID; its own results are no images (loop guard).

    Returns:
        The images, by series and then along the slice normal (else by instance number), and the
        instances that hold no image for us (Segmentation, report, our own output, …).
    """
    images: list[SourceImage] = []
    skipped: list[SkippedFile] = []
    for path in paths:
        try:
            images.append(SourceImage(path, read_header(path, own_device_uid=own_device_uid)))
        except UnsupportedImageError as error:
            skipped.append(SkippedFile(path, str(error)))
    return tuple(sorted(images, key=reading_order)), tuple(skipped)


def iter_input_frames(
    images: Iterable[SourceImage], *, mode: Mode, window: Window | None
) -> Iterator[InputFrame]:
    """Decode frame by frame into detector inputs, or into the reason why not.

    Args:
        images: in reading order.
        mode: "pad" keeps the aspect ratio, "stretch" does not (see `Placement`).
        window: a window that the task fixes, in modality units; None takes the header's.
    """
    for image in images:
        decoded = 0
        try:
            for frame in iter_frames(image.path, window=window):
                placement = place(image.header, mode=mode)
                yield InputFrame(image, frame.number, placement.to_input(frame.rgb))
                decoded = frame.number
        except (UndecodableFrameError, UnsupportedImageError) as error:
            for number in range(decoded + 1, image.header.number_of_frames + 1):
                yield InputFrame(image, number, None, skipped=str(error))


def place(header: ImageHeader, *, mode: Mode) -> Placement:
    """Return the placement of an image's grid in the detector's square input."""
    return Placement(
        rows=header.rows,
        columns=header.columns,
        size=INPUT_SIZE,
        mode=mode,
        pixel_aspect=header.pixel_aspect,
    )


def sample_evenly(images: Sequence[SourceImage], count: int) -> tuple[SourceImage, ...]:
    """Choose at most `count` images, evenly over their order."""
    if len(images) <= count:
        return tuple(images)
    positions = (np.arange(count) + 0.5) * len(images) / count
    return tuple(images[int(position)] for position in positions)


def reading_order(image: SourceImage) -> tuple[str, float, int, str]:
    """Return the sort key of an image: series, place along the slice normal, instance number."""
    header = image.header
    position = 0.0
    if header.image_position is not None and header.image_orientation is not None:
        orientation = np.asarray(header.image_orientation, dtype=np.float64)
        normal = np.cross(orientation[:3], orientation[3:])
        position = float(normal @ np.asarray(header.image_position, dtype=np.float64))
    return (
        header.series_instance_uid,
        position,
        header.instance_number or 0,
        header.sop_instance_uid,
    )
