"""What the names in the spool say: which contents there are of which instances."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from listener.errors import InvalidUIDError
from listener.spool.disk import entries_in, folders_in
from listener.uids import clean_uid

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

SUFFIX = ".dcm"
"""Ends the name of every file that holds an instance."""


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """One version of an instance, as its file's name and status tell.

    Attributes:
        digest: hex BLAKE3 of the data set as received, without file meta.
        size: bytes of the file, file meta included.
        received_at: UTC.
    """

    sop_instance_uid: str
    series_instance_uid: str
    digest: str
    path: Path
    size: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """An instance that is durable in the spool.

    Attributes:
        digest: hex BLAKE3 of the data set as received, without file meta.
        size: bytes of the data set as received, without file meta.
        received_at: UTC.
        new: False when the same content under the same UIDs was there before.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    digest: str
    size: int
    path: Path
    received_at: datetime
    new: bool


def newest(versions: Sequence[InstanceFile]) -> InstanceFile:
    """Return the version whose content arrived last; the digest breaks a tie."""
    return max(versions, key=lambda version: (version.received_at, version.digest))


def oldest(versions: Sequence[InstanceFile]) -> InstanceFile:
    """Return the version whose content arrived first; the digest breaks a tie."""
    return min(versions, key=lambda version: (version.received_at, version.digest))


def content_digest(instances: Iterable[InstanceFile]) -> str:
    """Return a hex BLAKE3 over the (SOP Instance UID, digest) pairs of a study's instances.

    Equal for equal content, whatever the time of arrival; the order is that of the UIDs.
    """
    digest = blake3()
    for instance in sorted(instances, key=lambda instance: instance.sop_instance_uid):
        digest.update(f"{instance.sop_instance_uid} {instance.digest}\n".encode("ascii"))
    return digest.hexdigest()


def versions_in(study: Path) -> tuple[InstanceFile, ...]:
    """Return every content of every instance in a study's folder; no file is opened."""
    found = [
        version
        for series in folders_in(study)
        for entry in entries_in(Path(series.path))
        if (version := _spooled_instance(entry, series_instance_uid=series.name)) is not None
    ]
    return tuple(sorted(found, key=_version_order))


def _spooled_instance(entry: os.DirEntry[str], *, series_instance_uid: str) -> InstanceFile | None:
    """Read a file's name and status; None for a file that is not ours or has just gone."""
    stem = entry.name.removesuffix(SUFFIX)
    uid, _, digest = stem.rpartition(".")
    if stem == entry.name or len(digest) != blake3.digest_size * 2:
        return None
    try:
        status = entry.stat(follow_symlinks=False)
        uid = clean_uid(uid, name="SOPInstanceUID")
    except (FileNotFoundError, InvalidUIDError):
        return None
    return InstanceFile(
        sop_instance_uid=uid,
        series_instance_uid=series_instance_uid,
        digest=digest,
        path=Path(entry.path),
        size=status.st_size,
        received_at=utc(status.st_mtime_ns),
    )


def _version_order(version: InstanceFile) -> tuple[str, datetime, str, str]:
    return (
        version.sop_instance_uid,
        version.received_at,
        version.series_instance_uid,
        version.digest,
    )


def utc(nanoseconds: int) -> datetime:
    """Return a time from nanoseconds since the epoch, cut to microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest // 1000)
