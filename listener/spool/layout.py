"""Names of the files in the spool: contents (versions) of SOP instances."""

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
"""Suffix of every file that holds an instance."""


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """File of one version of an instance, known without opening it.

    Attributes:
        digest: hex BLAKE3 of the data set as received, without file meta.
        path: of the Part 10 file.
        size: bytes of the file, file meta included.
        received_at: UTC.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from pynetdicom.dsutils import split_dataset
        >>> path = Path(get_testdata_file("CT_small.dcm", download=False))
        >>> meta, offset = split_dataset(path)
        >>> transfer = TransferInfo(
        ...     transfer_syntax_uid=meta.TransferSyntaxUID,
        ...     sop_class_uid=meta.MediaStorageSOPClassUID,
        ...     sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        ...     calling_ae_title="CT1",
        ...     receiving_ae_title="NODE",
        ... )
        >>> with Spool(tmp_path) as spool:
        ...     receipt = spool.store(path.read_bytes()[offset:], transfer)
        ...     (file,) = spool.instances(receipt.study_instance_uid)
        >>> file.path.name == f"{file.sop_instance_uid}.{file.digest}.dcm"
        True
    """

    sop_instance_uid: str
    series_instance_uid: str
    digest: str
    path: Path
    size: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class StoreReceipt:
    """Receipt of an instance that is durable in the spool.

    Attributes:
        digest: hex BLAKE3 of the data set as received, without file meta.
        size: bytes of the data set as received, without file meta.
        path: of the Part 10 file.
        received_at: UTC.
        new: False if the same content with the same UIDs was there before.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> from pynetdicom.dsutils import split_dataset
        >>> path = Path(get_testdata_file("CT_small.dcm", download=False))
        >>> meta, offset = split_dataset(path)
        >>> transfer = TransferInfo(
        ...     transfer_syntax_uid=meta.TransferSyntaxUID,
        ...     sop_class_uid=meta.MediaStorageSOPClassUID,
        ...     sop_instance_uid=meta.MediaStorageSOPInstanceUID,
        ...     calling_ae_title="CT1",
        ...     receiving_ae_title="NODE",
        ... )
        >>> with Spool(tmp_path) as spool:
        ...     receipts = [spool.store(path.read_bytes()[offset:], transfer) for _ in range(2)]
        >>> [receipt.new for receipt in receipts]
        [True, False]
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
    """Return the version whose content arrived last; the digest breaks a tie.

    Example:
        >>> from datetime import datetime
        >>> def version(digest: str, hour: int) -> InstanceFile:
        ...     received = datetime(2026, 11, 28, hour)
        ...     return InstanceFile("1.2.3.1", "1.2.3", digest, Path(digest), 1, received)
        >>> newest([version("aa", 8), version("bb", 9)]).digest
        'bb'
    """
    return max(versions, key=lambda version: (version.received_at, version.digest))


def oldest(versions: Sequence[InstanceFile]) -> InstanceFile:
    """Return the version whose content arrived first; the digest breaks a tie.

    Example:
        A spool that keeps to the first content under a SOP Instance UID:

        >>> with Spool(tmp_path, choose_current=oldest) as spool:
        ...     spool.instances("1.2.3")
        ()
    """
    return min(versions, key=lambda version: (version.received_at, version.digest))


def content_digest(instances: Iterable[InstanceFile]) -> str:
    """Return a hex BLAKE3 over the (SOP Instance UID, digest) pairs of a study's instances.

    Equal content has an equal digest, in whatever order and whenever it arrived.

    Example:
        >>> with Spool(tmp_path) as spool:
        ...     content_digest(spool.instances("1.2.3"))[:16]  # of no instance
        'af1349b9f5f9a1a6'
    """
    digest = blake3()
    for instance in sorted(instances, key=lambda instance: instance.sop_instance_uid):
        digest.update(f"{instance.sop_instance_uid} {instance.digest}\n".encode("ascii"))
    return digest.hexdigest()


def versions_in(study: Path) -> tuple[InstanceFile, ...]:
    """Return every version of every instance in a study's folder; no file is opened."""
    found = [
        version
        for series in folders_in(study)
        for entry in entries_in(Path(series.path))
        if (version := _spooled_instance(entry, series_instance_uid=series.name)) is not None
    ]
    return tuple(sorted(found, key=_version_order))


def _spooled_instance(entry: os.DirEntry[str], *, series_instance_uid: str) -> InstanceFile | None:
    """Read the name and status of a file; None if it is not ours or was deleted meanwhile."""
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
