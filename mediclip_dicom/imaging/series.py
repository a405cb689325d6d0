"""Images of a study in reading order, and as detector inputs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ai_core.images import Box, Mode, Placement
from mediclip_dicom.errors import UndecodableFrameError, UnsupportedImageError, UnsupportedReason
from mediclip_dicom.imaging.frames import iter_frames
from mediclip_dicom.imaging.header import ImageHeader, read_header
from mediclip_dicom.imaging.preparation import Preparation
from mediclip_dicom.imaging.windows import missing_hounsfield

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
        pixels: float32, shape (views, 3, 224, 224), in [0, 1], sides so many times larger as
            the task enlarges; None where it can't be decoded.
        skipped: reason why it can't be decoded, else None.
        box: part of the frame that the views show; None is all of it.
    """

    image: SourceImage
    frame: int
    pixels: npt.NDArray[np.float32] | None
    skipped: str | None = None
    box: Box | None = None


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
    images: Iterable[SourceImage],
    *,
    preparation: Preparation,
    boxes: Mapping[str, Box] | None = None,
) -> Iterator[InputFrame]:
    """Decode frame by frame into detector inputs, or into the reason why not.

    Args:
        images: in reading order.
        preparation: windows, crop and tiles of the task.
        boxes: box around the body by SOP Instance UID, as `find_boxes` returns them.
    """
    for image in images:
        decoded = 0
        box = (boxes or {}).get(image.header.sop_instance_uid)
        placement = place(image.header, mode=preparation.mode, box=box)
        try:
            _require_units(image, preparation)
            for number, renderings in _decode(image.path, preparation):
                views = [placement.to_input(rgb, times=preparation.tiles) for rgb in renderings]
                yield InputFrame(image, number, np.stack(views), box=box)
                decoded = number
        except (UndecodableFrameError, UnsupportedImageError) as error:
            for number in range(decoded + 1, image.header.number_of_frames + 1):
                yield InputFrame(image, number, None, skipped=str(error))


def place(header: ImageHeader, *, mode: Mode, box: Box | None = None) -> Placement:
    """Return the placement of an image's grid, or of a box in it, in the square input."""
    return Placement(
        rows=header.rows,
        columns=header.columns,
        size=INPUT_SIZE,
        mode=mode,
        pixel_aspect=header.pixel_aspect,
        box=box,
    )


def _decode(
    path: Path, preparation: Preparation
) -> Iterator[tuple[int, list[npt.NDArray[np.float32]]]]:
    """Yield the number of each frame, from 1, and its rendering in each window."""
    decoders = [iter_frames(path, window=window) for window in preparation.renderings]
    for frames in zip(*decoders, strict=True):
        yield frames[0].number, [frame.rgb for frame in frames]


def _require_units(image: SourceImage, preparation: Preparation) -> None:
    """Refuse an image without Hounsfield units where a window is in them.

    Raises:
        UnsupportedImageError: the image has none, or its header can't be read.
    """
    for window in preparation.windows:
        if window.name and (reason := missing_hounsfield(image.path)) is not None:
            raise UnsupportedImageError(
                UnsupportedReason.NO_HOUNSFIELD_UNITS, detail=f"{reason}; window {window}"
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
