"""Sources of studies: a port, and its implementation for files and folders."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ai_core import PictureError
from mediclip_dicom.errors import SupportSetReadError, UndecodableFrameError
from mediclip_dicom.imaging import (
    PICTURE_SUFFIXES,
    FileKind,
    SkippedFile,
    SourceImage,
    archive_format,
    file_kind,
    iter_frames,
    read_headers,
    read_picture,
)
from mediclip_dicom.tasks.routing import Route

REPEATED = "the same image as another file"
SAME_UID = "the SOP Instance UID of an image of another series of its study"
NO_IMAGE = "neither DICOM nor a picture"
EMPTY = "an empty file"
LOOSE_PICTURE = (
    "a picture among DICOM files, which may be a logo or a screen shot: name pictures "
    "apart, or ask for them (--pictures)"
)


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """Study that a source offers, as a list shows it.

    Attributes:
        key: Study Instance UID; the path of a picture file, which is a study of its own.
        modality: Modality (0008,0060) of its first image; empty for a picture file.
        images: number of images that the route matches.
    """

    key: str
    modality: str
    images: int


@dataclass(frozen=True, slots=True)
class StudySearch:
    """Answer of a source: the studies that a route matches, and the files that are left out.

    Attributes:
        studies: in a fixed order.
        left_out: files without a use, with the reason.
        files: number of files that were looked at.
    """

    studies: tuple[StudyEntry, ...]
    left_out: tuple[SkippedFile, ...]
    files: int


@dataclass(frozen=True, slots=True)
class StudyFiles:
    """Study on this machine's disk: DICOM images in reading order, or one picture file."""

    images: tuple[SourceImage, ...] = ()
    picture: Path | None = None


class StudySource(Protocol):
    """Port to a place that holds studies: a folder, the spool, a PACS."""

    def search(self, route: Route) -> StudySearch:
        """List the studies with an image that the route matches; pictures match every route.

        Raises:
            SupportSetReadError: the source can't be read, or holds DICOM images of which the route
                matches none.
        """
        ...

    def preview(self, study: StudyEntry) -> npt.NDArray[np.float32]:
        """Show the middle image of a study that `search` listed.

        Returns:
            float32, shape (rows, columns, 3), in [0, 1].

        Raises:
            SupportSetReadError: the image can't be fetched or decoded.
        """
        ...

    def fetch(self, study: StudyEntry) -> StudyFiles:
        """Bring the matching images of a study that `search` listed onto this machine's disk.

        Raises:
            SupportSetReadError: the study can't be fetched.
        """
        ...


@dataclass(slots=True)
class FolderSource:
    """Studies in files and folders; DICOM files are grouped by study.

    Args:
        paths: files and folders, searched through all their levels.
        pictures: take pictures, too, where the paths hold DICOM.
    """

    paths: tuple[Path, ...]
    pictures: bool = False
    _found: dict[str, StudyFiles] = field(default_factory=dict, repr=False)

    def search(self, route: Route) -> StudySearch:
        """List the studies, DICOM by Study Instance UID and then pictures by path.

        Pictures are taken where the paths hold no DICOM, else only if asked for: a CD has a logo.

        Raises:
            SupportSetReadError: a path does not exist, or the route matches none of the DICOM
            images.
        """
        files = find_files(self.paths)
        kinds = {path: file_kind(path) for path in files}
        dicom = [path for path, kind in kinds.items() if kind.is_dicom]
        images, left_out = _matching_images(dicom, route)
        studies: dict[str, list[SourceImage]] = {}
        for image in images:
            studies.setdefault(image.header.study_instance_uid, []).append(image)
        self._found = {uid: StudyFiles(tuple(studies[uid])) for uid in sorted(studies)}
        entries = [
            StudyEntry(uid, found.images[0].header.modality, len(found.images))
            for uid, found in self._found.items()
        ]
        skipped = []
        for path, kind in kinds.items():
            if kind.is_dicom:
                continue
            if path.suffix.lower() not in PICTURE_SUFFIXES:
                skipped.append(SkippedFile(path, _describe_other(path, kind)))
            elif dicom and not self.pictures:
                skipped.append(SkippedFile(path, LOOSE_PICTURE))
            else:
                self._found[str(path)] = StudyFiles(picture=path)
                entries.append(StudyEntry(str(path), "", 1))
        return StudySearch(tuple(entries), (*skipped, *left_out), len(files))

    def preview(self, study: StudyEntry) -> npt.NDArray[np.float32]:
        """Decode the middle frame of the middle image; see `StudySource.preview`."""
        files = self.fetch(study)
        try:
            if files.picture is not None:
                return read_picture(files.picture)
            middle = files.images[len(files.images) // 2]
            number = (middle.header.number_of_frames + 1) // 2
            return next(frame.rgb for frame in iter_frames(middle.path) if frame.number == number)
        except (PictureError, UndecodableFrameError) as error:
            raise SupportSetReadError(str(error)) from error

    def fetch(self, study: StudyEntry) -> StudyFiles:
        """Name the files of a study, which stay in their place; see `StudySource.fetch`."""
        return self._found[study.key]


def find_files(paths: Iterable[Path]) -> tuple[Path, ...]:
    """List all files below the paths, sorted, without hidden ones.

    Raises:
        SupportSetReadError: a path does not exist.
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


def read_images(paths: Iterable[Path]) -> tuple[SourceImage, ...]:
    """Read the headers of all DICOM images below the paths, in reading order.

    Raises:
        SupportSetReadError: a path does not exist.
    """
    return read_headers(path for path in find_files(paths) if file_kind(path).is_dicom)[0]


def explain_files(paths: Iterable[Path]) -> tuple[SkippedFile, ...]:
    """Say of each file below the paths that is no DICOM image why it is none.

    Raises:
        SupportSetReadError: a path does not exist.
    """
    kinds = {path: file_kind(path) for path in find_files(paths)}
    other = tuple(
        SkippedFile(path, _describe_other(path, kind))
        for path, kind in kinds.items()
        if not kind.is_dicom
    )
    return other + read_headers(path for path, kind in kinds.items() if kind.is_dicom)[1]


def _describe_other(path: Path, kind: FileKind) -> str:
    """Say why a file that is no DICOM has no use, and what to do with it."""
    if kind is FileKind.EMPTY:
        return EMPTY
    if kind is FileKind.ARCHIVE:
        return f"{archive_format(path)} archive: unpack it and name the folder"
    return NO_IMAGE


def _matching_images(
    paths: Iterable[Path], route: Route
) -> tuple[list[SourceImage], list[SkippedFile]]:
    """Return the images that the route matches, each SOP instance once, and the other files."""
    images, skipped = read_headers(paths)
    left_out = list(skipped)
    if images and not any(route.matches(image.header) for image in images):
        raise SupportSetReadError(_no_match(images, route))
    # Numbers from 1 on are those of other studies as well, where an anonymiser gave them.
    matching: dict[tuple[str, str], SourceImage] = {}
    for image in images:
        header = image.header
        key = (header.study_instance_uid, header.sop_instance_uid)
        if not route.matches(header):
            left_out.append(SkippedFile(image.path, f"the task reads {route}"))
        elif (known := matching.get(key)) is not None:
            same = known.header.series_instance_uid == header.series_instance_uid
            left_out.append(SkippedFile(image.path, REPEATED if same else SAME_UID))
        else:
            matching[key] = image
    return list(matching.values()), left_out


def _no_match(images: Sequence[SourceImage], route: Route) -> str:
    """Say which condition of the route excludes all images, where a single one does."""
    conditions = {
        "body part": replace(route, body_part=None),
        "view": replace(route, view=None),
        "series description": replace(route, series_description=None),
        "excluded series": replace(route, excluded_series=()),
    }
    for name, wider in conditions.items():
        count = sum(wider.matches(image.header) for image in images)
        if count:
            hint = f"{count} would match without the {name}"
            break
    else:
        found = sorted({image.header.modality or "none" for image in images})
        hint = f"their modalities are {', '.join(found)}"
    return (
        f"none of {len(images)} DICOM images can be used: the task reads {route}; {hint}. Name "
        "other studies or other conditions"
    )
