"""From the images of a study and a task version to a reading: scores, maps, verdict."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version as package_version
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ai_core import Backbone, Detector, OperatingPoint, Verdict, aggregate
from mediclip_dicom.imaging import (
    INPUT_SIZE,
    InputFrame,
    Mode,
    SourceImage,
    find_contradictions,
    iter_input_frames,
    place,
)
from mediclip_dicom.results import ImageReading, PreviousReport, Reading, StoredMap
from mediclip_dicom.tasks import VersionFacts

OUT_OF_SCOPE = "out of scope: unlike every image that the task was registered from"

Maps = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FrameScore:
    """The image score of one frame, or why it has none."""

    sop_instance_uid: str
    frame: int
    score: float | None
    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class StudyVerdict:
    """What a task version says of a study; `score` is None where no image could be scored."""

    verdict: Verdict
    score: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """Which state of a study was read, and the task's report on an earlier state, if any."""

    number: int
    content_digest: str
    analysed_at: datetime
    predecessor: PreviousReport | None = None


def score_images(
    images: Sequence[SourceImage],
    *,
    detector: Detector,
    version: VersionFacts,
    maps_path: Path,
    batch_limit: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FrameScore, ...]:
    """Score every frame; the anomaly maps go to a file, so that memory does not grow.

    What can't be decoded or contradicts itself is left out with the reason.

    Args:
        images: In reading order.
        detector: That of the task version.
        version: Gives the window.
        maps_path: A `.npy` file, float32, shape (frames, 224, 224), in [0, 1]; rows of frames that
            can't be scored are zero.
        batch_limit: frames in one forward pass at most; 0: as many as suit the device.
        progress: Called with (frames scored, frames in all).
    """
    total = sum(image.header.number_of_frames for image in images)
    maps_path.parent.mkdir(parents=True, exist_ok=True)
    maps = np.lib.format.open_memmap(
        maps_path, mode="w+", dtype=np.float32, shape=(total, INPUT_SIZE, INPUT_SIZE)
    )
    scores: list[FrameScore] = []
    frames = _refuse_contradictions(
        images,
        iter_input_frames(
            images, mode=detector.info.preset.geometry, window=version.definition.window
        ),
    )
    size = min(batch_limit or detector.batch_size, detector.batch_size)
    for batch in _batched(frames, size):
        usable = [frame.pixels for frame in batch if frame.pixels is not None]
        found = detector.score(torch.from_numpy(np.stack(usable))) if usable else None
        taken = 0
        for frame in batch:
            score, skipped = None, frame.skipped
            if found is not None and frame.pixels is not None:
                if bool(found.in_scope[taken]):
                    maps[len(scores)] = found.maps[taken].numpy()
                    score = float(found.scores[taken])
                else:
                    skipped = OUT_OF_SCOPE
                taken += 1
            uid = frame.image.header.sop_instance_uid
            scores.append(FrameScore(uid, frame.frame, score, skipped))
        if progress:
            progress(len(scores), total)
    maps.flush()
    return tuple(scores)


def _refuse_contradictions(
    images: Iterable[SourceImage], frames: Iterable[InputFrame]
) -> Iterator[InputFrame]:
    reasons = find_contradictions(image.header for image in images)
    for frame in frames:
        reason = reasons.get((frame.image.header.sop_instance_uid, frame.frame))
        if reason is None or frame.skipped is not None:
            yield frame
        else:
            yield replace(frame, pixels=None, placement=None, skipped=reason)


def judge(scores: Iterable[FrameScore], operating_point: OperatingPoint) -> StudyVerdict:
    """The verdict on the study: its images are aggregated first, then held to the operating point.

    A study of which an image could not be read is never called normal.
    """
    scores = tuple(scores)
    usable = [score.score for score in scores if score.score is not None]
    if not usable:
        return StudyVerdict(Verdict.UNDETERMINED, None, None)
    study_score = aggregate(usable)
    verdict = operating_point.verdict(study_score)
    if verdict is Verdict.NORMAL and len(usable) < len(scores):
        verdict = Verdict.UNDETERMINED
    return StudyVerdict(verdict, study_score, operating_point.p_value(study_score))


def open_maps(path: Path) -> Maps:
    """The maps that `score_images` wrote, left on disk until they are looked at."""
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]


def make_reading(
    images: Sequence[SourceImage],
    scores: Sequence[FrameScore],
    maps_path: Path,
    *,
    version: VersionFacts,
    backbone: Backbone,
    mode: Mode,
    revision: RevisionFacts,
) -> Reading:
    """Everything that the results say of the study, as one frozen value.

    Args:
        images: In reading order.
        scores: A row for each frame of `images`, in the same order.
        maps_path: What `score_images` wrote; the maps stay there until they are looked at.
        version: The task version that scored.
        backbone: The model below it.
        mode: "pad" or "stretch", as the images were placed.
        revision: Which state of the study was read.
    """
    operating_point = version.operating_point
    study = judge(scores, operating_point)
    return Reading(
        task_name=version.definition.name,
        task_version=version.number,
        task_version_uid=version.uid,
        verdict=study.verdict.value,
        score=study.score,
        p_value=study.p_value,
        operating_point=operating_point.threshold,
        false_positive_rate=operating_point.false_positive_rate,
        k=version.k,
        preset=version.preset,
        backbone=version.backbone,
        backbone_trained=backbone.trained,
        backbone_sha256=version.backbone_sha256,
        weights_sha256=version.weights_sha256,
        software_version=package_version("mediclip-dicom"),
        study_content_digest=revision.content_digest,
        revision=revision.number,
        finished_at=revision.analysed_at,
        predecessor=revision.predecessor,
        window=version.definition.window,
        images=tuple(_image_readings(images, scores, maps_path, mode=mode)),
    )


def _image_readings(
    images: Sequence[SourceImage], scores: Sequence[FrameScore], maps_path: Path, *, mode: Mode
) -> Iterator[ImageReading]:
    by_uid = {image.header.sop_instance_uid: image for image in images}
    for index, score in enumerate(scores):
        image = by_uid[score.sop_instance_uid]
        scored = score.score is not None
        yield ImageReading(
            path=image.path,
            header=image.header,
            frame_number=score.frame,
            score=score.score,
            map=StoredMap(maps_path, index) if scored else None,
            placement=place(image.header, mode=mode) if scored else None,
            skipped=score.skipped,
        )


def _batched(frames: Iterable[InputFrame], size: int) -> Iterator[list[InputFrame]]:
    iterator = iter(frames)
    while batch := list(islice(iterator, size)):
        yield batch
