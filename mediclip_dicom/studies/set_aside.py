"""Contents under one SOP Instance UID: the one that is read, and those that are set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from listener import InstanceFile, Spool, oldest
from mediclip_dicom.errors import UnsupportedImageError
from mediclip_dicom.imaging import patient_of, read_attributes, read_data_set, same_patient

OTHER_SERIES = "set aside: its SOP Instance UID is that of an image of another series"
OTHER_PATIENT = "set aside: its SOP Instance UID is that of an image of another patient"
OTHER_KIND = (
    "set aside: its SOP Instance UID is that of an instance of another SOP class or modality"
)
KEPT_FIRST = (
    "set aside: another content under its SOP Instance UID came first, and [gathering] same_uid "
    'is "keep-first"'
)

# Groups that decide the picture: its places, its display, its pixels.
_PICTURE_GROUPS = (0x0028, 0x7FE0)
_PICTURE_KEYWORDS = ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID")


@dataclass(frozen=True, slots=True)
class SetAside:
    """Content that is not read, although it is no older version of the content that is.

    Attributes:
        file: its file in the spool.
        reason: in words, without patient data.
    """

    file: InstanceFile
    reason: str


def choose_contents(
    spool: Spool, versions: Sequence[InstanceFile]
) -> tuple[InstanceFile, tuple[SetAside, ...]]:
    """Choose the content of an instance that is read, and find those that count as unread.

    Only a content of the same series, patient, SOP class and modality as the first one can be a
    newer version of it: an anonymiser that numbers from 1 must not replace a series. A content that
    the policy keeps from being read counts as unread, unless it shows the same picture.

    Args:
        spool: chooses among versions by the policy of the configuration.
        versions: all contents under one SOP Instance UID, at least one.

    Raises:
        OSError: a file can't be read.
    """
    if len(versions) == 1:
        return versions[0], ()
    first = oldest(versions)
    same: list[InstanceFile] = []
    unread: list[SetAside] = []
    for version in versions:
        reason = None if version is first else _other_identity(first, version)
        if reason is None:
            same.append(version)
        else:
            unread.append(SetAside(version, reason))
    current = spool.current(same)
    unread += (
        SetAside(version, KEPT_FIRST)
        for version in same
        if version.received_at > current.received_at
        and not _same_picture(current.path, version.path)
    )
    return current, tuple(sorted(unread, key=lambda item: (item.file.received_at, item.file.path)))


def _other_identity(first: InstanceFile, version: InstanceFile) -> str | None:
    if version.series_instance_uid != first.series_instance_uid:
        return OTHER_SERIES
    one, other = _attributes(first.path), _attributes(version.path)
    if one is None or other is None:
        return None
    if not same_patient(patient_of(one), patient_of(other)):
        return OTHER_PATIENT
    if any(one.get(keyword) != other.get(keyword) for keyword in ("SOPClassUID", "Modality")):
        return OTHER_KIND
    return None


def _attributes(path: Path) -> Dataset | None:
    try:
        return read_attributes(path)[0]
    except UnsupportedImageError:
        return None


def _same_picture(one: Path, other: Path) -> bool:
    """Whether two files hold the same pixels in the same place, and display them alike."""
    try:
        return _picture(one) == _picture(other)
    except (InvalidDicomError, ValueError, TypeError, AttributeError, NotImplementedError):
        return False


def _picture(path: Path) -> tuple[str, Dataset]:
    dataset = read_data_set(path)
    picture = Dataset()
    for element in dataset:
        keyword = element.keyword
        placed = keyword in _PICTURE_KEYWORDS or keyword.endswith("FunctionalGroupsSequence")
        if placed or element.tag.group in _PICTURE_GROUPS:
            picture.add(element)
    return str(dataset.file_meta.get("TransferSyntaxUID", "")), picture
