"""The support set of a task: k normal studies, read from files that an administrator names."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydicom.misc import is_dicom

from ai_core import PictureError
from mediclip_dicom.errors import SupportSetReadError
from mediclip_dicom.imaging import (
    INPUT_SIZE,
    PICTURE_SUFFIXES,
    InputFrame,
    Mode,
    Placement,
    SourceImage,
    Window,
    iter_input_frames,
    read_headers,
    read_picture,
    sample_evenly,
)
from mediclip_dicom.tasks.routing import Route

REPEATED = "the same image as another file"
BLANK = "blank: every pixel has one value"


@dataclass(frozen=True, slots=True)
class SupportImage:
    """One image of a support set; `study` and `image` are UIDs, or a digest for a picture file."""

    study: str
    image: str
    frame: int
    digest: str


@dataclass(frozen=True, slots=True)
class SupportStudy:
    """One normal study of a support set, with all its images.

    Attributes:
        images: In reading order; empty for a picture file, which is its study's only image.
        mode: "pad" or "stretch", as they are placed.
        window: The task's own window, or None.
        taken: How many of its frames are in the support set.
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
        """All its frames, float32, shape (up to size, 3, 224, 224), in [0, 1].

        Raises:
            SupportSetReadError: A frame can't be decoded.
        """
        frames = (
            torch.from_numpy(_usable(frame))
            for frame in iter_input_frames(self.images, mode=self.mode, window=self.window)
        )
        while batch := list(islice(frames, size)):
            yield torch.stack(batch)


@dataclass(frozen=True, slots=True)
class SupportSet:
    """The normal images that a task is fitted on.

    Attributes:
        images: float32, shape (N, 3, 224, 224), in [0, 1].
        groups: For each image the index of its study, 0 to k - 1.
        items: What each image is.
        studies: The k studies, each with all its images.
        left_out: Files that were not used, with the reason.
    """

    images: torch.Tensor
    groups: tuple[int, ...]
    items: tuple[SupportImage, ...]
    studies: tuple[SupportStudy, ...]
    left_out: tuple[tuple[Path, str], ...]

    @property
    def k(self) -> int:
        """How many normal studies there are."""
        return len(self.studies)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A decoded image that may become part of the support set; `pixels` is (3, 224, 224)."""

    path: Path
    pixels: torch.Tensor
    item: SupportImage


def find_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All files below the paths, sorted, hidden ones left out.

    Raises:
        SupportSetReadError: A path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            found += (p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        else:
            raise SupportSetReadError(f"there is no file or folder {path}")
    return tuple(sorted(set(found)))


def read_support_set(
    paths: Iterable[Path],
    *,
    route: Route,
    mode: Mode,
    window: Window | None,
    images_per_study: int,
    progress: Callable[[int, int], None] | None = None,
) -> SupportSet:
    """Read normal studies: DICOM files (grouped by study), or pictures (each a study of its own).

    An image that is there twice, under whatever name or UID, counts once; blank ones don't count.

    Args:
        paths: Files and folders.
        route: Only DICOM images that the task would read are taken.
        mode: "pad" or "stretch", as the preset says.
        window: The task's own window, or None.
        images_per_study: At most so many frames of a study, evenly over its slices.
        progress: Called with (studies read, studies in all).

    Raises:
        SupportSetReadError: Nothing usable, or a file that can't be decoded.
    """
    files = find_files(paths)
    dicom_files = [path for path in files if is_dicom(path)]
    pictures = [
        path
        for path in files
        if path.suffix.lower() in PICTURE_SUFFIXES and path not in set(dicom_files)
    ]
    left_out = [
        (p, "neither DICOM nor a picture") for p in files if p not in {*dicom_files, *pictures}
    ]
    images, unusable = _routed_images(dicom_files, route)
    studies = _by_study(images)
    total = len(studies) + len(pictures)
    sources = [*studies, *([] for _ in pictures)]
    batches: list[list[_Candidate]] = []
    for batch in chain(
        (_read_study(s, mode=mode, window=window, count=images_per_study) for s in studies),
        ([_read_picture(path, mode=mode)] for path in pictures),
    ):
        batches.append(batch)
        if progress:
            progress(len(batches), total)
    usable, refused = _without_blanks_and_repeats(batches)
    kept = [batch for batch in usable if batch]
    left_out += unusable + refused
    if not kept:
        raise SupportSetReadError(_nothing_usable(files, left_out))
    return SupportSet(
        images=torch.stack([candidate.pixels for batch in kept for candidate in batch]),
        groups=tuple(index for index, batch in enumerate(kept) for _ in batch),
        items=tuple(candidate.item for batch in kept for candidate in batch),
        studies=tuple(
            SupportStudy(images=tuple(source), mode=mode, window=window, taken=len(batch))
            for source, batch in zip(sources, usable, strict=True)
            if batch
        ),
        left_out=tuple(left_out),
    )


def _routed_images(
    paths: Iterable[Path], route: Route
) -> tuple[list[SourceImage], list[tuple[Path, str]]]:
    """The images that the task would read, each SOP instance once, and the rest with reasons."""
    images, skipped = read_headers(paths)
    left_out = [(instance.path, instance.reason) for instance in skipped]
    routed: dict[str, SourceImage] = {}
    for image in images:
        if not route.matches(image.header):
            left_out.append((image.path, f"the task reads {route}"))
        elif image.header.sop_instance_uid in routed:
            left_out.append((image.path, REPEATED))
        else:
            routed[image.header.sop_instance_uid] = image
    return list(routed.values()), left_out


def _without_blanks_and_repeats(
    batches: Iterable[Sequence[_Candidate]],
) -> tuple[list[list[_Candidate]], list[tuple[Path, str]]]:
    """A normal that is there twice would be fitted on while it is held out for calibration.

    Returns:
        What is left of each batch, maybe nothing, and what is left out.
    """
    kept: list[list[_Candidate]] = []
    left_out: list[tuple[Path, str]] = []
    seen: set[str] = set()
    for batch in batches:
        usable = []
        for candidate in batch:
            if candidate.pixels.min() == candidate.pixels.max():
                left_out.append((candidate.path, BLANK))
            elif candidate.item.digest in seen:
                left_out.append((candidate.path, REPEATED))
            else:
                seen.add(candidate.item.digest)
                usable.append(candidate)
        kept.append(usable)
    return kept, left_out


def _by_study(images: Iterable[SourceImage]) -> list[list[SourceImage]]:
    studies: dict[str, list[SourceImage]] = {}
    for image in images:
        studies.setdefault(image.header.study_instance_uid, []).append(image)
    return [studies[uid] for uid in sorted(studies)]


def _read_study(
    images: Sequence[SourceImage], *, mode: Mode, window: Window | None, count: int
) -> list[_Candidate]:
    frames_each = max(1, count // len(images))
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
            candidates.append(_Candidate(image.path, torch.from_numpy(pixels), item))
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


def _nothing_usable(files: Sequence[Path], left_out: Sequence[tuple[Path, str]]) -> str:
    if not files:
        return "the paths hold no files; name folders or files of normal studies"
    reasons = sorted({reason for _, reason in left_out})
    return f"none of {len(files)} files can be used for a support set: " + "; ".join(reasons[:5])
