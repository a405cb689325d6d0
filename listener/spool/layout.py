"""What the names in the spool say: which contents there are of which instances."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from listener.errors import InvalidUIDError
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SUFFIX = ".dcm"
"""Ends the name of every file that holds an instance."""


@dataclass(frozen=True, slots=True)
class SpooledInstance:
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


def newest(versions: Sequence[SpooledInstance]) -> SpooledInstance:
    """Return the version whose content arrived last; the digest breaks a tie."""
    return max(versions, key=lambda version: (version.received_at, version.digest))


def oldest(versions: Sequence[SpooledInstance]) -> SpooledInstance:
    """Return the version whose content arrived first; the digest breaks a tie."""
    return min(versions, key=lambda version: (version.received_at, version.digest))


def content_digest(instances: Iterable[SpooledInstance]) -> str:
    """Return a hex BLAKE3 over the (SOP Instance UID, digest) pairs of a study's instances.

    Equal for equal content, whatever the time of arrival; the order is that of the UIDs.
    """
    digest = blake3()
    for instance in sorted(instances, key=lambda instance: instance.sop_instance_uid):
        digest.update(f"{instance.sop_instance_uid} {instance.digest}\n".encode("ascii"))
    return digest.hexdigest()


def entries_in(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def folders_in(folder: Path) -> list[os.DirEntry[str]]:
    """Return the folders in a folder, links not followed."""
    return [entry for entry in entries_in(folder) if entry.is_dir(follow_symlinks=False)]


def versions_in(study: Path) -> tuple[SpooledInstance, ...]:
    """Return every content of every instance in a study's folder; no file is opened."""
    found = [
        version
        for series in folders_in(study)
        for entry in entries_in(Path(series.path))
        if (version := _spooled_instance(entry, series_instance_uid=series.name)) is not None
    ]
    return tuple(sorted(found, key=_version_order))


def _spooled_instance(
    entry: os.DirEntry[str], *, series_instance_uid: str
) -> SpooledInstance | None:
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
    return SpooledInstance(
        sop_instance_uid=uid,
        series_instance_uid=series_instance_uid,
        digest=digest,
        path=Path(entry.path),
        size=status.st_size,
        received_at=utc(status.st_mtime_ns),
    )


def _version_order(version: SpooledInstance) -> tuple[str, datetime, str, str]:
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
