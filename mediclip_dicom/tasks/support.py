"""Support set of a task: k normal studies."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ai_core import PictureError
from mediclip_dicom.errors import SupportSetReadError
from mediclip_dicom.imaging import (
    INPUT_SIZE,
    InputFrame,
    Mode,
    Placement,
    SkippedFile,
    SourceImage,
    Window,
    iter_input_frames,
    read_picture,
    sample_evenly,
    series_places,
)
from mediclip_dicom.tasks.routing import Route
from mediclip_dicom.tasks.sources import REPEATED, StudyFiles, StudySource

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
        mode: "pad" or "stretch", as they are placed.
        window: the task's own window, or None.
        taken: number of its frames in the support set.
    """

    images: tuple[SourceImage, ...]
    mode: Mode
    window: Window | None
    taken: int

    @property
    def sampled(self) -> bool:
        """Whether the study has more frames than the support set took of it."""
        return sum(image.header.number_of_frames for image in self.images) > self.taken

    def batches(self, size: int) -> Iterator[torch.Tensor]:
        """Decode all its frames, float32, shape (up to size, 3, 224, 224), in [0, 1].

        Raises:
            SupportSetReadError: a frame can't be decoded.
        """
        frames = (
            torch.from_numpy(_usable(frame))
            for frame in iter_input_frames(self.images, mode=self.mode, window=self.window)
        )
        while batch := list(islice(frames, size)):
            yield torch.stack(batch)

    def series_places(self) -> torch.Tensor:
        """Return the place of each of its frames along its series, NaN where a frame has none.

        Returns:
            float32 in [0, 1], shape (frames,), in the order of `batches`.
        """
        places = series_places(image.header for image in self.images)
        return torch.tensor(
            [
                places.get((image.header.sop_instance_uid, number), math.nan)
                for image in self.images
                for number in range(1, image.header.number_of_frames + 1)
            ]
        )


@dataclass(frozen=True, slots=True)
class SupportSet:
    """Normal images that a task is fitted on.

    Attributes:
        images: float32, shape (N, 3, 224, 224), in [0, 1].
        groups: for each image the index of its study, 0 to k - 1.
        items: UIDs and digest of each image.
        studies: the k studies, each with all its images.
        left_out: files that were not used, with the reason.
        series_places: place of each image along its series, float32 in [0, 1], shape (N,); None
            where an image has none: then the detector takes no account of places along a series.
    """

    images: torch.Tensor
    groups: tuple[int, ...]
    items: tuple[SupportImage, ...]
    studies: tuple[SupportStudy, ...]
    left_out: tuple[SkippedFile, ...]
    series_places: torch.Tensor | None = None

    def image_at(self, study: int, position: int) -> tuple[str, str, int]:
        """Return study, image and frame of an image that was scored in the calibration.

        Args:
            study: index of the study.
            position: among all frames of a sampled study, else among its images in the set.
        """
        if self.studies[study].sampled:
            for image in self.studies[study].images:
                header = image.header
                if position < header.number_of_frames:
                    return header.study_instance_uid, header.sop_instance_uid, position + 1
                position -= header.number_of_frames
        own = [item for item, group in zip(self.items, self.groups, strict=True) if group == study]
        item = own[position]
        return item.study, item.image, item.frame

    @property
    def pictures(self) -> int:
        """Number of studies that are a picture file."""
        return sum(not study.images for study in self.studies)

    @property
    def k(self) -> int:
        """Number of normal studies."""
        return len(self.studies)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Decoded image that may join the support set; `pixels` is (3, 224, 224)."""

    path: Path
    pixels: torch.Tensor
    item: SupportImage
    series_place: float | None = None


def read_support_set(
    source: StudySource,
    *,
    route: Route,
    mode: Mode,
    window: Window | None,
    images_per_study: int,
    progress: Callable[[int, int], None] | None = None,
) -> SupportSet:
    """Read the normal studies of a source into one support set.

    An image that is there twice, under whatever name or UID, counts once; blank ones don't count.

    Args:
        source: studies as DICOM images, or as picture files (each a study of its own).
        route: only DICOM images that the task would read are taken.
        mode: "pad" or "stretch", as the preset says.
        window: the task's own window, or None.
        images_per_study: at most so many frames of a study, evenly over its slices.
        progress: called with (studies read, studies in all).

    Raises:
        SupportSetReadError: nothing usable, or a file that can't be decoded.
    """
    found = source.search(route)
    studies: list[StudyFiles] = []
    batches: list[list[_Candidate]] = []
    for entry in found.studies:
        files = source.fetch(entry)
        studies.append(files)
        batches.append(
            [_read_picture(files.picture, mode=mode)]
            if files.picture is not None
            else _read_study(files.images, mode=mode, window=window, count=images_per_study)
        )
        if progress:
            progress(len(batches), len(found.studies))
    usable, refused = _without_blanks_and_repeats(batches)
    kept = [batch for batch in usable if batch]
    left_out = (*found.left_out, *refused)
    if not kept:
        raise SupportSetReadError(_nothing_usable(found.files, left_out))
    return SupportSet(
        images=torch.stack([candidate.pixels for batch in kept for candidate in batch]),
        groups=tuple(index for index, batch in enumerate(kept) for _ in batch),
        items=tuple(candidate.item for batch in kept for candidate in batch),
        studies=tuple(
            SupportStudy(images=files.images, mode=mode, window=window, taken=len(batch))
            for files, batch in zip(studies, usable, strict=True)
            if batch
        ),
        left_out=left_out,
        series_places=_all_or_none(candidate.series_place for batch in kept for candidate in batch),
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


def _read_study(
    images: Sequence[SourceImage], *, mode: Mode, window: Window | None, count: int
) -> list[_Candidate]:
    frames_each = max(1, count // len(images))
    places = series_places(image.header for image in images)
    candidates = []
    for image in sample_evenly(images, count):
        number_of_frames = image.header.number_of_frames
        wanted = {
            int(position) + 1
            for position in (np.arange(frames_each) + 0.5) * number_of_frames / frames_each
        }
        for frame in iter_input_frames([image], mode=mode, window=window):
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
            place = places.get((header.sop_instance_uid, frame.frame))
            candidates.append(_Candidate(image.path, torch.from_numpy(pixels), item, place))
    return candidates


def _usable(frame: InputFrame) -> npt.NDArray[np.float32]:
    if frame.pixels is None:
        raise SupportSetReadError(
            f"{frame.image.path} can't be decoded ({frame.skipped}); take it out of the "
            "support set or repair it"
        )
    return frame.pixels


def _read_picture(path: Path, *, mode: Mode) -> _Candidate:
    try:
        rgb = read_picture(path)
    except PictureError as error:
        raise SupportSetReadError(str(error)) from error
    placement = Placement(rows=rgb.shape[0], columns=rgb.shape[1], size=INPUT_SIZE, mode=mode)
    pixels = placement.to_input(rgb)
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
