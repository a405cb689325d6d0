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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from listener.errors import InvalidInstanceError
from listener.spool.disk import Space, measure
from listener.spool.durable import DurableFolders, write_errors
from listener.spool.incoming import IncomingDataSet
from listener.spool.inspection import DEFAULT_INFLATED_LIMIT, inspect
from listener.spool.layout import (
    SUFFIX,
    SpooledInstance,
    folders_in,
    newest,
    oldest,
    utc,
    versions_in,
)
from listener.spool.part10 import Reception, file_header
from listener.spool.publishing import Publisher
from listener.spool.quarantine import Quarantine, QuarantinedDataSet
from listener.spool.removal import StudyRemoval, size_of
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from listener.spool.inspection import InstanceIdentity

__all__ = ["Spool", "SpooledInstance", "StoredInstance", "newest", "oldest"]

_DATA_SET_DOES_NOT_MATCH = 0xA900


@dataclass(frozen=True, slots=True)
class StoredInstance:
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
        choose_current: Callable[[Sequence[SpooledInstance]], SpooledInstance] = newest,
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
            self._publisher = Publisher(folders=self._folders, removal=self._removal)
            lock = f"in-use-{section}.lock" if section else "in-use.lock"
            self._in_use = (self.root / lock).open("ab")
            self._remove_leftovers()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the lock files; one of them keeps others from clearing `incoming/`."""
        self._in_use.close()
        self._removal.close()

    def receive(self, reception: Reception) -> IncomingDataSet:
        """Begin to write a data set as it comes in; `keep` ends it.

        Args:
            reception: what the network says about it.
        """
        try:
            clean_uid(reception.sop_class_uid, name="AffectedSOPClassUID")
            clean_uid(reception.sop_instance_uid, name="AffectedSOPInstanceUID")
            header = file_header(reception)
        except InvalidInstanceError:
            header = b""  # it will go into quarantine, where there is none
        return IncomingDataSet(self._incoming / next(self._part_names), header)

    def keep(self, incoming: IncomingDataSet, reception: Reception) -> StoredInstance:
        """Make a data set that is all there durable; it is on disk when this returns.

        Args:
            incoming: from `receive`.
            reception: the same as it was begun with.

        Raises:
            InvalidInstanceError: it is not one whole SOP instance of the announced UIDs. It is in
                quarantine, `status` is the C-STORE status to answer with.
            StorageFullError: the disk is full. Nothing was kept.
            SpoolWriteError: the disk failed. Nothing was kept.
        """
        data, digest = incoming.content(), incoming.digest
        try:
            identity = self._identify(data, reception)
            path = self._studies.joinpath(
                identity.study_instance_uid,
                identity.series_instance_uid,
                f"{identity.sop_instance_uid}.{digest}{SUFFIX}",
            )
            new, received_ns = self._publisher.publish(
                incoming,
                path,
                study=identity.study_instance_uid,
                transfer_syntax_uid=reception.transfer_syntax_uid,
            )
        except InvalidInstanceError as error:
            with write_errors():
                self._quarantine.add(data, reception, digest=digest, error=error)
            raise
        return StoredInstance(
            study_instance_uid=identity.study_instance_uid,
            series_instance_uid=identity.series_instance_uid,
            sop_instance_uid=identity.sop_instance_uid,
            sop_class_uid=identity.sop_class_uid,
            transfer_syntax_uid=reception.transfer_syntax_uid,
            calling_ae_title=reception.calling_ae_title,
            digest=digest,
            size=incoming.size,
            path=path,
            received_at=utc(received_ns),
            new=new,
        )

    def store(self, data: bytes | memoryview, reception: Reception) -> StoredInstance:
        """Make a data set that is in memory durable: `receive` and `keep` in one.

        Args:
            data: the encoded data set exactly as received, without preamble and file meta.
            reception: what the network said about it.
        """
        with self.receive(reception) as incoming:
            incoming.write(data)
            return self.keep(incoming, reception)

    def studies(self) -> Iterator[str]:
        """Yield the UIDs of the studies, sorted."""
        yield from sorted(entry.name for entry in folders_in(self._studies))

    def versions(self, study_instance_uid: str) -> tuple[SpooledInstance, ...]:
        """Return every content of every instance of a study, sorted by UIDs and time of receipt.

        No file is opened. A study that is not here has no instances.

        Raises:
            InvalidUIDError: the argument is no UID.
        """
        study = clean_uid(study_instance_uid, name="StudyInstanceUID")
        return versions_in(self._studies / study)

    def instances(self, study_instance_uid: str) -> tuple[SpooledInstance, ...]:
        """Return the current content of every instance of a study, sorted by SOP Instance UID.

        Raises:
            InvalidUIDError: the argument is no UID.
        """
        by_uid: dict[str, list[SpooledInstance]] = {}
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

    def _identify(self, data: bytes | memoryview, reception: Reception) -> InstanceIdentity:
        identity = inspect(
            data,
            transfer_syntax_uid=reception.transfer_syntax_uid,
            inflated_limit=self._inflated_limit,
        )
        announced = (
            clean_uid(reception.sop_class_uid, name="AffectedSOPClassUID"),
            clean_uid(reception.sop_instance_uid, name="AffectedSOPInstanceUID"),
        )
        if announced != (identity.sop_class_uid, identity.sop_instance_uid):
            raise InvalidInstanceError(
                "SOP UIDs of request and data set differ", status=_DATA_SET_DOES_NOT_MATCH
            )
        return identity

    def _remove_leftovers(self) -> None:
        """Clear `incoming/`, unless another spool object is open on it and may be writing."""
        try:
            fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            for unfinished in self._incoming.rglob("*.part"):
                unfinished.unlink(missing_ok=True)
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
