"""Scores and anomaly maps of a study's images by one task version."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from ai_core import Detector, Scores, Views
from mediclip_dicom.imaging import (
    INPUT_SIZE,
    ImageHeader,
    InputFrame,
    SourceImage,
    find_boxes,
    find_contradictions,
    iter_input_frames,
    not_examination,
    place,
    series_places,
)
from mediclip_dicom.results import LEFT_OUT, ImageReading, StoredMap
from mediclip_dicom.tasks import TaskVersionInfo

OUT_OF_SCOPE = "out of scope: "
"""Beginning of the reason for a frame that is not of the task's kind."""

_UNLIKE = {
    "content": "content unlike the support set",
    "grey levels": "grey levels unlike the support set",
    "shape": "shape or orientation unlike the support set",
}


def score_images(
    images: Sequence[SourceImage],
    *,
    detector: Detector,
    version: TaskVersionInfo,
    maps_path: Path,
    batch_limit: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[ImageReading, ...]:
    """Score every frame; the anomaly maps go to a file, so that memory does not grow.

    What can't be decoded or contradicts itself is left out with the reason.

    Args:
        images: in reading order.
        detector: that of the task version.
        version: the task version; gives geometry, windows, crop and tiles.
        maps_path: a `.npy` file, float32, shape (frames, 224, 224), in [0, 1]; rows of frames that
            can't be scored are zero.
        batch_limit: detector inputs in one forward pass at most; 0: as many as suit the device.
        progress: called with (frames scored, frames in all).
    """
    total = sum(image.header.number_of_frames for image in images)
    maps_path.parent.mkdir(parents=True, exist_ok=True)
    maps = np.lib.format.open_memmap(
        maps_path, mode="w+", dtype=np.float32, shape=(total, INPUT_SIZE, INPUT_SIZE)
    )
    readings: list[ImageReading] = []
    left_out = _left_out(images, version)
    places = series_places(
        image.header for image in images if image.header.sop_instance_uid not in left_out
    )
    frames = _refuse_contradictions(images, _input_frames(images, version))
    views = version.preparation.views
    passes = min(batch_limit or detector.batch_size, detector.batch_size)
    size = max(1, passes // version.preparation.passes)
    for batch in _batched(frames, size):
        usable = [frame for frame in batch if frame.pixels is not None]
        found = _score(detector, usable, places, views=views) if usable else None
        taken = 0
        for frame in batch:
            score, skipped, row = None, frame.skipped, len(readings)
            if found is not None and frame.pixels is not None:
                if bool(found.in_scope[taken]):
                    maps[row] = found.maps[taken].numpy()
                    score = float(found.scores[taken])
                else:
                    skipped = OUT_OF_SCOPE + _UNLIKE[found.unlike[taken] or "content"]
                taken += 1
            scored = score is not None
            readings.append(
                ImageReading(
                    source=frame.image,
                    frame_number=frame.frame,
                    score=score,
                    map=StoredMap(maps_path, row) if scored else None,
                    placement=(
                        place(frame.image.header, mode=version.geometry, box=frame.box)
                        if scored
                        else None
                    ),
                    skipped=skipped,
                )
            )
        if progress:
            progress(len(readings), total)
    maps.flush()
    return tuple(readings)


def refuse_images(images: Sequence[SourceImage], *, reason: str) -> tuple[ImageReading, ...]:
    """Make the readings of a study that must not be analysed: every frame is skipped.

    Args:
        images: in reading order.
        reason: in words, without patient data.
    """
    return tuple(
        ImageReading(
            source=image, frame_number=number, score=None, map=None, placement=None, skipped=reason
        )
        for image in images
        for number in range(1, image.header.number_of_frames + 1)
    )


def _score(
    detector: Detector,
    frames: Sequence[InputFrame],
    places: Mapping[tuple[str, int], float],
    *,
    views: Views,
) -> Scores:
    pixels = np.concatenate([frame.pixels for frame in frames if frame.pixels is not None])
    along = [
        places.get((frame.image.header.sop_instance_uid, frame.frame), math.nan)
        for frame in frames
        for _ in range(views.count)
    ]
    return detector.score(torch.from_numpy(pixels), series_places=torch.tensor(along), views=views)


def _input_frames(images: Sequence[SourceImage], version: TaskVersionInfo) -> Iterator[InputFrame]:
    """Decode the frames; those that are no part of the examination are left out undecoded."""
    reasons = _left_out(images, version)
    boxes = find_boxes(
        (image for image in images if image.header.sop_instance_uid not in reasons),
        version.preparation,
    )
    for image in images:
        reason = reasons.get(image.header.sop_instance_uid)
        if reason is None:
            yield from iter_input_frames([image], preparation=version.preparation, boxes=boxes)
            continue
        for number in range(1, image.header.number_of_frames + 1):
            yield InputFrame(image, number, None, skipped=LEFT_OUT + reason)


def _left_out(images: Iterable[SourceImage], version: TaskVersionInfo) -> Mapping[str, str]:
    """Find the images that are no part of the examination, by their headers and by the route."""
    excluded: dict[str, str] = {}
    rest: list[ImageHeader] = []
    for image in images:
        if (pattern := version.definition.route.exclusion(image.header)) is None:
            rest.append(image.header)
        else:
            excluded[image.header.sop_instance_uid] = f"the task excludes series like {pattern!r}"
    return excluded | dict(not_examination(rest, kinds=version.support_kinds))


def _refuse_contradictions(
    images: Iterable[SourceImage], frames: Iterable[InputFrame]
) -> Iterator[InputFrame]:
    reasons = find_contradictions(image.header for image in images)
    for frame in frames:
        reason = reasons.get((frame.image.header.sop_instance_uid, frame.frame))
        if reason is None or frame.skipped is not None:
            yield frame
        else:
            yield replace(frame, pixels=None, skipped=reason)


def _batched(frames: Iterable[InputFrame], size: int) -> Iterator[list[InputFrame]]:
    iterator = iter(frames)
    while batch := list(islice(iterator, size)):
        yield batch
