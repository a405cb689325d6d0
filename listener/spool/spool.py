"""Durable inbox. The file system is the index: the path of a file identifies its instance.

    <root>/studies/<study uid>/<series uid>/<sop uid>.<BLAKE3 of the data set as received>.dcm
    <root>/incoming/      being written; never acknowledged
    <root>/quarantine/    refused data sets, each with the reason in a JSON file
    <root>/removing/      studies that are being deleted

An instance is reported as stored only after its bytes and every folder entry of its path are
synced. A name has the digest of the content: a repeat has the same name, and the same UID with
other content never overwrites a file.
"""

from __future__ import annotations

import fcntl
import itertools
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from listener.errors import InvalidInstanceError
from listener.spool.commit import Committer
from listener.spool.disk import Space, folders_in, measure, size_of
from listener.spool.durable import DurableFolders, write_errors
from listener.spool.incoming import IncomingDataSet
from listener.spool.inspection import DEFAULT_INFLATED_LIMIT, inspect
from listener.spool.layout import (
    SUFFIX,
    InstanceFile,
    StoreReceipt,
    newest,
    oldest,
    utc,
    versions_in,
)
from listener.spool.part10 import TransferInfo, file_header
from listener.spool.quarantine import Quarantine, QuarantinedDataSet
from listener.spool.removal import StudyRemoval
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import BinaryIO

    from listener.spool.inspection import InstanceIdentity

_DATA_SET_DOES_NOT_MATCH = 0xA900


class Spool:
    """Durable inbox below one folder. Safe for many threads; many processes may share it.

    Args:
        root: made if missing; all of it must be on one file system.
        choose_current: chooses one of several contents under one SOP Instance UID.
        measure: measures the file system of `root`.
        inflated_limit: largest size in bytes that a deflated data set may inflate to.
        section: folder of `incoming/` for this process alone; needed if several processes receive.

    Raises:
        SpoolWriteError: the folders can't be made.

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
        ...     [file.sop_instance_uid for file in spool.instances(receipt.study_instance_uid)]
        ['1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322']
    """

    def __init__(
        self,
        root: Path,
        *,
        choose_current: Callable[[Sequence[InstanceFile]], InstanceFile] = newest,
        measure: Callable[[Path], Space] = measure,
        inflated_limit: int = DEFAULT_INFLATED_LIMIT,
        section: str = "",
    ) -> None:
        self.root = Path(root).absolute()
        self._studies = self.root / "studies"
        self._incoming = self.root / "incoming" / section
        self._part_names = map(f"{uuid.uuid4().hex}-{{}}.part".format, itertools.count())
        self._choose_current = choose_current
        self._measure = measure
        self._inflated_limit = inflated_limit
        self._folders = DurableFolders(self.root)
        with write_errors():
            names = ("studies", "incoming", "quarantine", "removing", "locks")
            for folder in (*(self.root / name for name in names), self._incoming):
                self._folders.ensure(folder)
            self._quarantine = Quarantine(self.root / "quarantine", temporary=self._incoming)
            self._removal = StudyRemoval(
                studies=self._studies,
                removing=self.root / "removing",
                locks=self.root / "locks",
            )
            self._removal.finish()
            self._committer = Committer(folders=self._folders, removal=self._removal)
            self._in_use = self._lock_file(section)
            self._remove_leftovers(section)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def incoming(self) -> Path:
        """Folder of files that are being written; what is left in it is deleted at a start."""
        return self._incoming

    def close(self) -> None:
        """Close the lock files; one of them prevents that another process clears `incoming/`."""
        self._in_use.close()
        self._removal.close()

    def receive(self, transfer: TransferInfo) -> IncomingDataSet:
        """Begin to write a data set; `keep` completes it.

        Args:
            transfer: of the data set.
        """
        try:
            clean_uid(transfer.sop_class_uid, name="AffectedSOPClassUID")
            clean_uid(transfer.sop_instance_uid, name="AffectedSOPInstanceUID")
            header = file_header(transfer)
        except InvalidInstanceError:
            header = b""  # it goes into quarantine, without header
        return IncomingDataSet(self._incoming / next(self._part_names), header)

    def keep(self, incoming: IncomingDataSet, transfer: TransferInfo) -> StoreReceipt:
        """Make a complete data set durable; it is on disk when this returns.

        Args:
            incoming: from `receive`.
            transfer: as given to `receive`.

        Raises:
            InvalidInstanceError: it is not one complete SOP instance of the requested UIDs. It is
                in quarantine; `status` is the C-STORE status to answer with.
            StorageFullError: the disk is full. Nothing was kept.
            SpoolWriteError: the disk failed. Nothing was kept.
        """
        data, digest = incoming.content(), incoming.digest
        try:
            identity = self._identify(data, transfer)
            path = self._studies.joinpath(
                identity.study_instance_uid,
                identity.series_instance_uid,
                f"{identity.sop_instance_uid}.{digest}{SUFFIX}",
            )
            new, received_ns = self._committer.commit(
                incoming,
                path,
                study=identity.study_instance_uid,
                transfer_syntax_uid=transfer.transfer_syntax_uid,
            )
        except InvalidInstanceError as error:
            with write_errors():
                self._quarantine.add(data, transfer, digest=digest, error=error)
            raise
        return StoreReceipt(
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=transfer.transfer_syntax_uid,
            calling_ae_title=transfer.calling_ae_title,
            digest=digest,
            size=incoming.size,
            path=path,
            received_at=utc(received_ns),
            new=new,
        )

    def store(self, data: bytes | memoryview, transfer: TransferInfo) -> StoreReceipt:
        """Make a data set that is in memory durable: `receive` and `keep` in one.

        Args:
            data: the encoded data set as received, without preamble and file meta.
            transfer: of the data set.

        Raises:
            InvalidInstanceError, StorageFullError, SpoolWriteError: as from `keep`.
        """
        with self.receive(transfer) as incoming:
            incoming.write(data)
            return self.keep(incoming, transfer)

    def studies(self) -> Iterator[str]:
        """Yield the UIDs of the studies, sorted."""
        yield from sorted(entry.name for entry in folders_in(self._studies))

    def versions(self, study_instance_uid: str) -> tuple[InstanceFile, ...]:
        """Return every version of every instance of a study, sorted by UIDs and time of receipt.

        No file is opened. An unknown study has no instances.

        Raises:
            InvalidUIDError: the argument is not a valid UID.
        """
        study = clean_uid(study_instance_uid, name="StudyInstanceUID")
        return versions_in(self._studies / study)

    def instances(self, study_instance_uid: str) -> tuple[InstanceFile, ...]:
        """Return the current content of every instance of a study, sorted by SOP Instance UID.

        A content of another series than the first one's is no version of it, and is left out.

        Raises:
            InvalidUIDError: the argument is not a valid UID.
        """
        by_uid: dict[str, list[InstanceFile]] = {}
        for version in self.versions(study_instance_uid):
            by_uid.setdefault(version.sop_instance_uid, []).append(version)
        return tuple(
            self.current([v for v in versions if _same_series(v, oldest(versions))])
            for _, versions in sorted(by_uid.items())
        )

    def current(self, versions: Sequence[InstanceFile]) -> InstanceFile:
        """Choose the current one of the versions of one instance.

        Args:
            versions: at least one.

        Example:
            >>> from datetime import datetime
            >>> def version(digest: str, hour: int) -> InstanceFile:
            ...     received = datetime(2026, 11, 28, hour)
            ...     return InstanceFile("1.2.3.1", "1.2.3", digest, Path(digest), 1, received)
            >>> with Spool(tmp_path) as spool:
            ...     spool.current([version("aa", 8), version("bb", 9)]).digest
            'bb'
        """
        return versions[0] if len(versions) == 1 else self._choose_current(versions)

    def find_instances(self, sop_instance_uids: set[str]) -> dict[str, Path]:
        """Return the paths of instances by SOP Instance UID, without those that are missing.

        Searches the names of the files, in the latest changed studies first.
        """
        wanted = set(sop_instance_uids)
        found: dict[str, Path] = {}
        studies = sorted(
            folders_in(self._studies), key=lambda entry: entry.stat().st_mtime_ns, reverse=True
        )
        for study in studies:
            if not wanted:
                break
            for version in versions_in(Path(study.path)):
                if version.sop_instance_uid in wanted:
                    found[version.sop_instance_uid] = version.path
            wanted -= found.keys()
        return found

    def remove_study(self, study_instance_uid: str, *, is_as_expected: Callable[[], bool]) -> bool:
        """Remove a study, unless its content has changed.

        Args:
            study_instance_uid: the study.
            is_as_expected: checks the content, while no instance can be stored into the study.

        Returns:
            Whether it was removed.

        Raises:
            InvalidUIDError: the argument is not a valid UID.
            OSError: the disk failed. The deletion goes on at the next start.
        """
        study = clean_uid(study_instance_uid, name="StudyInstanceUID")
        return self._removal.remove(study, is_as_expected=is_as_expected)

    def study_bytes(self, study_instance_uid: str) -> int:
        """Return the size of a study on the disk in bytes."""
        return size_of(self._studies / clean_uid(study_instance_uid, name="StudyInstanceUID"))

    def clear_quarantine(self, *, before: datetime) -> int:
        """Delete data sets that were refused before a time, and return their number."""
        return self._quarantine.clear(before=before)

    def quarantined(self) -> Iterator[QuarantinedDataSet]:
        """Yield the data sets that were refused, oldest first."""
        return self._quarantine.entries()

    def space(self) -> Space:
        """Return the space of the file system of the spool."""
        return self._measure(self.root)

    def _identify(self, data: bytes | memoryview, transfer: TransferInfo) -> InstanceIdentity:
        identity = inspect(
            data,
            transfer_syntax_uid=transfer.transfer_syntax_uid,
            inflated_limit=self._inflated_limit,
        )
        announced = (
            clean_uid(transfer.sop_class_uid, name="AffectedSOPClassUID"),
            clean_uid(transfer.sop_instance_uid, name="AffectedSOPInstanceUID"),
        )
        if announced != (identity.sop_class_uid, identity.sop_instance_uid):
            raise InvalidInstanceError(
                "SOP UIDs of request and data set differ", status=_DATA_SET_DOES_NOT_MATCH
            )
        return identity

    def _lock_file(self, section: str) -> BinaryIO:
        name = f"in-use-{section}.lock" if section else "in-use.lock"
        return (self.root / name).open("ab")

    def _remove_leftovers(self, own_section: str) -> None:
        """Clear `incoming/`, except the sections of spool objects that are open."""
        for section in {own_section, "", *(e.name for e in folders_in(self.root / "incoming"))}:
            with self._lock_file(section) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                for unfinished in (self.root / "incoming" / section).glob("*.part"):
                    unfinished.unlink(missing_ok=True)
        fcntl.flock(self._in_use, fcntl.LOCK_SH)


def _same_series(one: InstanceFile, other: InstanceFile) -> bool:
    return one.series_instance_uid == other.series_instance_uid
