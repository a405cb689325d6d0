"""Support set of a task: k normal studies."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ai_core import PictureError, Views, body_box
from mediclip_dicom.errors import SupportSetReadError, UnsupportedReason
from mediclip_dicom.imaging import (
    INPUT_SIZE,
    Box,
    FramePlace,
    InputFrame,
    Placement,
    Preparation,
    SkippedFile,
    SourceImage,
    StudyPeak,
    SupportKinds,
    find_boxes,
    find_contradictions,
    iter_input_frames,
    not_examination,
    place,
    read_picture,
    sample_evenly,
    series_places,
    smoothed_peak,
)
from mediclip_dicom.tasks.routing import Route
from mediclip_dicom.tasks.sources import REPEATED, StudySource
from mediclip_dicom.tasks.support_patients import refuse_mixed_patients

ONE_VIEW = Views()

BLANK = "blank: every pixel has one value"


@dataclass(frozen=True, slots=True)
class SupportImage:
    """Image of a support set; `study` and `image` are UIDs, or digests for a picture file."""

    study: str
    image: str
    frame: int
    digest: str


@dataclass(frozen=True, slots=True)
class SupportStudy:
    """Normal study of a support set, with all its images.

    Attributes:
        images: in reading order; empty for a picture file, which is its study's only image.
        preparation: windows, crop and tiles of the task.
        taken: number of its frames in the support set.
        refused: frames whose headers contradict themselves, by SOP Instance UID and number; no
            study is judged by them.
        places: place of each frame along its series, as the analysis of a new study has it.
        boxes: box around the body by SOP Instance UID, where the task crops.
    """

    images: tuple[SourceImage, ...]
    preparation: Preparation
    taken: int
    refused: frozenset[tuple[str, int]] = frozenset()
    places: Mapping[tuple[str, int], float] = field(default_factory=dict)
    boxes: Mapping[str, Box] = field(default_factory=dict)

    @property
    def frames(self) -> tuple[FramePlace, ...]:
        """All frames that a study is judged by, in reading order; none for a picture file."""
        return tuple(
            FramePlace(image.header, number)
            for image in self.images
            for number in range(1, image.header.number_of_frames + 1)
            if (image.header.sop_instance_uid, number) not in self.refused
        )

    @property
    def sampled(self) -> bool:
        """Whether the study has more frames than the support set took of it."""
        return len(self.frames) > self.taken

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """Decode all its frames into batches of detector inputs, float32 in [0, 1].

        A batch holds whole frames, at least one: its shape is (frames * views, 3, 224, 224), sides
        larger for tiles.

        Args:
            size: passes of the tower for a batch, unless one frame takes more.

        Raises:
            SupportSetReadError: a frame can't be decoded.
        """
        frames = (
            torch.from_numpy(_usable(frame))
            for frame in iter_input_frames(
                self.images, preparation=self.preparation, boxes=self.boxes
            )
            if (frame.image.header.sop_instance_uid, frame.frame) not in self.refused
        )
        while batch := list(islice(frames, max(1, size // self.preparation.passes))):
            yield torch.cat(batch)

    def peak(self, maps: torch.Tensor, scores: torch.Tensor) -> StudyPeak:
        """Compute the study score as a new study's is, from all its maps and image scores.

        Args:
            maps: of its frames in their order, float32, shape (n, 224, 224).
            scores: image scores, shape (n,).
        """
        if not self.images:
            return StudyPeak(float(scores.max()), int(scores.argmax()))
        frames = self.frames
        return smoothed_peak(
            frames,
            scores.tolist(),
            read_map=lambda index: maps[index].numpy(),
            placements=[
                place(
                    frame.header,
                    mode=self.preparation.mode,
                    box=self.boxes.get(frame.header.sop_instance_uid),
                )
                for frame in frames
            ],
        )

    def series_places(self) -> torch.Tensor:
        """Return the place of each detector input along its series, NaN where it has none.

        Returns:
            float32 in [0, 1], shape (frames * views,), in the order of `batches`.
        """
        return torch.tensor(
            [
                self.places.get((frame.header.sop_instance_uid, frame.frame_number), math.nan)
                for frame in self.frames
                for _ in range(self.preparation.views.count)
            ]
        )


@dataclass(frozen=True, slots=True)
class SupportSet:
    """Normal images that a task is fitted on.

    Attributes:
        images: float32, shape (N * views, 3, 224, 224), in [0, 1].
        groups: for each of them the index of its study, 0 to k - 1.
        items: UIDs and digest of each of the N images.
        studies: the k studies, each with all its images.
        left_out: files that were not used, with the reason.
        series_places: place of each detector input along its series, float32 in [0, 1], shape
            (N * views,); None where one has none: then places along a series don't count.
        views: detector inputs of an image.
    """

    images: torch.Tensor
    groups: tuple[int, ...]
    items: tuple[SupportImage, ...]
    studies: tuple[SupportStudy, ...]
    left_out: tuple[SkippedFile, ...]
    series_places: torch.Tensor | None = None
    views: Views = ONE_VIEW

    def image_at(self, study: int, position: int) -> tuple[str, str, int]:
        """Return study, image and frame of an image that was scored in the calibration.

        Args:
            study: index of the study.
            position: among all frames of a sampled study, else among its images in the set.
        """
        if self.studies[study].sampled:
            frame = self.studies[study].frames[position]
            header = frame.header
            return header.study_instance_uid, header.sop_instance_uid, frame.frame_number
        groups = self.groups[:: self.views.count]
        own = [item for item, group in zip(self.items, groups, strict=True) if group == study]
        item = own[position]
        return item.study, item.image, item.frame

    @property
    def pictures(self) -> int:
        """Number of studies that are a picture file."""
        return sum(not study.images for study in self.studies)

    @property
    def kinds(self) -> SupportKinds:
        """Kinds of image that it holds; none for picture files."""
        return SupportKinds.of(image.header for study in self.studies for image in study.images)

    @property
    def k(self) -> int:
        """Number of normal studies."""
        return len(self.studies)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Decoded image that may join the support set; `pixels` is (views, 3, 224, 224)."""

    path: Path
    pixels: torch.Tensor
    item: SupportImage
    series_place: float | None = None


def read_support_set(
    source: StudySource,
    *,
    route: Route,
    preparation: Preparation,
    images_per_study: int,
    progress: Callable[[int, int], None] | None = None,
) -> SupportSet:
    """Read the normal studies of a source into one support set.

    An image that is there twice, under whatever name or UID, counts once; blank ones don't count.

    Args:
        source: studies as DICOM images, or as picture files (each a study of its own).
        route: only DICOM images that the task would read are taken.
        preparation: geometry of the preset; windows, crop and tiles of the task.
        images_per_study: at most so many frames of a study, evenly over its slices.
        progress: called with (studies read, studies in all).

    Raises:
        SupportSetReadError: nothing usable, or a file that can't be decoded.
    """
    found = source.search(route)
    studies: list[SupportStudy] = []
    unlike: list[SkippedFile] = []
    batches: list[list[_Candidate]] = []
    for entry in found.studies:
        files = source.fetch(entry)
        of_one, mixed = refuse_mixed_patients(files.images)
        images, refused, no_part = _examined(of_one)
        unlike += (*mixed, *no_part)
        study = SupportStudy(
            images,
            preparation,
            taken=0,
            refused=refused,
            places=series_places(image.header for image in files.images),
            boxes=find_boxes(images, preparation),
        )
        studies.append(study)
        batches.append(
            [_read_picture(files.picture, preparation=preparation)]
            if files.picture is not None
            else _read_study(study, count=images_per_study)
        )
        if progress:
            progress(len(batches), len(found.studies))
    usable, repeated = _without_blanks_and_repeats(batches)
    kept = [batch for batch in usable if batch]
    left_out = (*found.left_out, *unlike, *repeated)
    if not kept:
        raise SupportSetReadError(_nothing_usable(found.files, left_out))
    return SupportSet(
        images=torch.cat([candidate.pixels for batch in kept for candidate in batch]),
        groups=tuple(
            index
            for index, batch in enumerate(kept)
            for candidate in batch
            for _ in candidate.pixels
        ),
        items=tuple(candidate.item for batch in kept for candidate in batch),
        studies=tuple(
            replace(study, taken=len(batch))
            for study, batch in zip(studies, usable, strict=True)
            if batch
        ),
        left_out=left_out,
        series_places=_all_or_none(
            candidate.series_place
            for batch in kept
            for candidate in batch
            for _ in candidate.pixels
        ),
        views=preparation.views,
    )


def _all_or_none(places: Iterable[float | None]) -> torch.Tensor | None:
    known = list(places)
    return None if None in known else torch.tensor(known, dtype=torch.float32)


def _without_blanks_and_repeats(
    batches: Iterable[Sequence[_Candidate]],
) -> tuple[list[list[_Candidate]], list[SkippedFile]]:
    """Remove repeats: a normal must not be fitted on while it is held out.

    Returns:
        What is left of each batch, maybe nothing, and what is left out.
    """
    kept: list[list[_Candidate]] = []
    left_out: list[SkippedFile] = []
    seen: set[str] = set()
    for batch in batches:
        usable = []
        for candidate in batch:
            if candidate.pixels.min() == candidate.pixels.max():
                left_out.append(SkippedFile(candidate.path, BLANK))
            elif candidate.item.digest in seen:
                left_out.append(SkippedFile(candidate.path, REPEATED))
            else:
                seen.add(candidate.item.digest)
                usable.append(candidate)
        kept.append(usable)
    return kept, left_out


def _examined(
    images: tuple[SourceImage, ...],
) -> tuple[tuple[SourceImage, ...], frozenset[tuple[str, int]], list[SkippedFile]]:
    """Leave out of a study all that the analysis of a new study leaves out, too.

    Returns:
        The images that are part of the examination and have a usable frame, their frames that
        contradict themselves, and the images left out.
    """
    reasons = not_examination(image.header for image in images)
    contradictions = find_contradictions(image.header for image in images)
    kept: list[SourceImage] = []
    left_out: list[SkippedFile] = []
    for image in images:
        uid, frames = image.header.sop_instance_uid, image.header.number_of_frames
        refused = [contradictions.get((uid, number)) for number in range(1, frames + 1)]
        if uid in reasons:
            left_out.append(SkippedFile(image.path, f"no part of the examination: {reasons[uid]}"))
        elif all(refused):
            left_out.append(SkippedFile(image.path, str(refused[0])))
        else:
            kept.append(image)
    return tuple(kept), frozenset(contradictions), left_out


def _read_study(study: SupportStudy, *, count: int) -> list[_Candidate]:
    if not study.images:
        return []
    frames_each = max(1, count // len(study.images))
    candidates = []
    for image in sample_evenly(study.images, count):
        usable = [
            number
            for number in range(1, image.header.number_of_frames + 1)
            if (image.header.sop_instance_uid, number) not in study.refused
        ]
        wanted = {
            usable[int(position)]
            for position in (np.arange(frames_each) + 0.5) * len(usable) / frames_each
        }
        for frame in iter_input_frames([image], preparation=study.preparation, boxes=study.boxes):
            if frame.frame not in wanted:
                continue
            pixels = _usable(frame)
            header = image.header
            item = SupportImage(
                study=header.study_instance_uid,
                image=header.sop_instance_uid,
                frame=frame.frame,
                digest=_digest(pixels),
            )
            along = study.places.get((header.sop_instance_uid, frame.frame))
            candidates.append(_Candidate(image.path, torch.from_numpy(pixels), item, along))
    return candidates


def _usable(frame: InputFrame) -> npt.NDArray[np.float32]:
    if frame.pixels is None:
        if (frame.skipped or "").startswith(UnsupportedReason.NO_HOUNSFIELD_UNITS.value):
            raise SupportSetReadError(
                f"{frame.image.path}: {frame.skipped}; take a window in numbers or none, or other "
                "images"
            )
        raise SupportSetReadError(
            f"{frame.image.path} can't be decoded ({frame.skipped}); take it out of the "
            "support set or repair it"
        )
    return frame.pixels


def _read_picture(path: Path, *, preparation: Preparation) -> _Candidate:
    if preparation.windows:
        raise SupportSetReadError(
            f"{path} is a picture, whose values have no unit: the window "
            f"{preparation.windows[0]} can't be applied; register the task from DICOM images, or "
            "without a window"
        )
    try:
        rgb = read_picture(path)
    except PictureError as error:
        raise SupportSetReadError(str(error)) from error
    placement = Placement(
        rows=rgb.shape[0],
        columns=rgb.shape[1],
        size=INPUT_SIZE,
        mode=preparation.mode,
        box=body_box(rgb) if preparation.crop else None,
    )
    pixels = placement.to_input(rgb, times=preparation.tiles)[np.newaxis]
    digest = _digest(pixels)
    # A file's name may hold a patient's; the digest names the picture as well.
    item = SupportImage(study=digest, image=digest, frame=1, digest=digest)
    return _Candidate(path, torch.from_numpy(pixels), item)


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _nothing_usable(files: int, left_out: Sequence[SkippedFile]) -> str:
    if not files:
        return "the paths hold no files; name folders or files of normal studies"
    reasons = sorted({skipped.reason for skipped in left_out})
    return f"none of {files} files can be used for a support set: " + "; ".join(reasons[:5])
