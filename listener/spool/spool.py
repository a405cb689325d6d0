"""The durable inbox. The file system is the index: a file's path says which instance it is.

    <root>/studies/<study uid>/<series uid>/<sop uid>.<BLAKE3 of the data set as received>.dcm
    <root>/incoming/      being written; never acknowledged
    <root>/quarantine/    refused data sets, each with a JSON file that says why
    <root>/removing/      studies on their way out

An instance is reported as stored only after its bytes and every folder entry that leads to it have
been synced. A name holds the digest of the content, so a repeat is known by its name, and the same
UID with other content can never overwrite anything.
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
    """The durable inbox below one folder. Safe for many threads; many processes may share it.

    Args:
        root: made if missing. All of it must be on one file system.
        choose_current: which of several contents under one SOP Instance UID counts.
        measure: gives the space of the file system that `root` is on.
        inflated_limit: bytes that a deflated data set may inflate to.
        section: the part of `incoming/` that one of several processes has to itself.

    Raises:
        SpoolWriteError: the folders can't be made.
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
        """Let go of the lock files; one of them keeps others from clearing `incoming/`."""
        self._in_use.close()
        self._removal.close()

    def receive(self, transfer: TransferInfo) -> IncomingDataSet:
        """Begin to write a data set as it comes in; `keep` ends it.

        Args:
            transfer: what the network says about it.
        """
        try:
            clean_uid(transfer.sop_class_uid, name="AffectedSOPClassUID")
            clean_uid(transfer.sop_instance_uid, name="AffectedSOPInstanceUID")
            header = file_header(transfer)
        except InvalidInstanceError:
            header = b""  # it will go into quarantine, where there is none
        return IncomingDataSet(self._incoming / next(self._part_names), header)

    def keep(self, incoming: IncomingDataSet, transfer: TransferInfo) -> StoreReceipt:
        """Make a data set that is all there durable; it is on disk when this returns.

        Args:
            incoming: from `receive`.
            transfer: the same as it was begun with.

        Raises:
            InvalidInstanceError: it is not one whole SOP instance of the announced UIDs. It is in
                quarantine, `status` is the C-STORE status to answer with.
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
            data: the encoded data set exactly as received, without preamble and file meta.
            transfer: what the network said about it.
        """
        with self.receive(transfer) as incoming:
            incoming.write(data)
            return self.keep(incoming, transfer)

    def studies(self) -> Iterator[str]:
        """Yield the UIDs of the studies, sorted."""
        yield from sorted(entry.name for entry in folders_in(self._studies))

    def versions(self, study_instance_uid: str) -> tuple[InstanceFile, ...]:
        """Return every content of every instance of a study, sorted by UIDs and time of receipt.

        No file is opened. A study that is not here has no instances.

        Raises:
            InvalidUIDError: the argument is no UID.
        """
        study = clean_uid(study_instance_uid, name="StudyInstanceUID")
        return versions_in(self._studies / study)

    def instances(self, study_instance_uid: str) -> tuple[InstanceFile, ...]:
        """Return the current content of every instance of a study, sorted by SOP Instance UID.

        Raises:
            InvalidUIDError: the argument is no UID.
        """
        by_uid: dict[str, list[InstanceFile]] = {}
        for version in self.versions(study_instance_uid):
            by_uid.setdefault(version.sop_instance_uid, []).append(version)
        return tuple(
            versions[0] if len(versions) == 1 else self._choose_current(versions)
            for _, versions in sorted(by_uid.items())
        )

    def find_instances(self, sop_instance_uids: set[str]) -> dict[str, Path]:
        """Return where instances are, by SOP Instance UID; those that are not here are left out.

        Looks through the names of the files, the studies that changed last first.
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
        """Remove a study, unless its content is no longer what the caller has dealt with.

        Args:
            study_instance_uid: which.
            is_as_expected: asked while nothing can come into the study.

        Returns:
            Whether it was removed.

        Raises:
            InvalidUIDError: the argument is no UID.
            OSError: the disk failed. What is half deleted is deleted at the next start.
        """
        study = clean_uid(study_instance_uid, name="StudyInstanceUID")
        return self._removal.remove(study, is_as_expected=is_as_expected)

    def study_bytes(self, study_instance_uid: str) -> int:
        """Return the bytes that a study takes."""
        return size_of(self._studies / clean_uid(study_instance_uid, name="StudyInstanceUID"))

    def clear_quarantine(self, *, before: datetime) -> int:
        """Remove what was refused before a moment; return how many data sets."""
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
        """Clear `incoming/`, without the sections that an open spool object may be writing to."""
        for section in {own_section, "", *(e.name for e in folders_in(self.root / "incoming"))}:
            with self._lock_file(section) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                for unfinished in (self.root / "incoming" / section).glob("*.part"):
                    unfinished.unlink(missing_ok=True)
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
