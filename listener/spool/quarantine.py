"""Quarantine of refused data sets, for an administrator."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from listener.errors import InvalidUIDError
from listener.spool.durable import write_atomically
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from listener.errors import InvalidInstanceError
    from listener.spool.part10 import TransferInfo


@dataclass(frozen=True, slots=True)
class QuarantinedDataSet:
    """Refused data set: reason, sender and time, without patient data.

    Attributes:
        path: of the data set as received, without preamble and file meta.
        reason: of the refusal.
        status: answered to the sender, for example "C000".
        sop_class_uid: as in the request; empty if that is not a valid UID.
        sop_instance_uid: likewise.
        transfer_syntax_uid: as negotiated.
        digest: hex BLAKE3 of the data set.
        size: in bytes.
        received_at: UTC, of the first time that this content was received.

    Example:
        >>> explicit, ct = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2"
        >>> with Spool(tmp_path) as spool:
        ...     try:
        ...         spool.store(b"not DICOM", TransferInfo(explicit, ct, "1.2.3", "CT1", "NODE"))
        ...     except ListenerError:
        ...         (refused,) = spool.quarantined()
        >>> refused.status, refused.calling_ae_title, refused.size
        ('C000', 'CT1', 9)
    """

    path: Path
    reason: str
    status: str
    calling_ae_title: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    received_at: datetime


class Quarantine:
    """Folder of refused data sets; each content is kept once.

    Args:
        folder: of the data sets.
        temporary: folder to write in first, on the same file system.
    """

    def __init__(self, folder: Path, *, temporary: Path) -> None:
        self._folder = folder
        self._temporary = temporary

    def add(
        self,
        data: bytes | memoryview,
        transfer: TransferInfo,
        *,
        digest: str,
        error: InvalidInstanceError,
    ) -> None:
        """Keep a data set, with the reason of its refusal in a JSON file of the same name."""
        path = self._folder / f"{digest}.raw"
        note = path.with_suffix(".json")
        if note.exists():
            return
        now = datetime.now(tz=UTC)
        entry = QuarantinedDataSet(
            path=path,
            reason=error.reason,
            status=f"{error.status:04X}",
            calling_ae_title=transfer.calling_ae_title,
            sop_class_uid=_uid_or_nothing(transfer.sop_class_uid),
            sop_instance_uid=_uid_or_nothing(transfer.sop_instance_uid),
            transfer_syntax_uid=_uid_or_nothing(transfer.transfer_syntax_uid),
            digest=digest,
            size=len(data),
            received_at=now,
        )
        record = asdict(entry) | {"path": path.name, "received_at": now.isoformat()}
        text = json.dumps(record, indent=2).encode()
        for target, content in ((path, data), (note, text)):
            write_atomically(target, (content,), temporary=self._temporary)

    def entries(self) -> Iterator[QuarantinedDataSet]:
        """Yield the refused data sets, oldest first."""
        found = [self._read(note) for note in self._folder.glob("*.json")]
        yield from sorted(found, key=lambda entry: (entry.received_at, entry.digest))

    def clear(self, *, before: datetime) -> int:
        """Delete data sets that were received before a time, and return their number."""
        old = [entry for entry in self.entries() if entry.received_at < before]
        for entry in old:
            entry.path.unlink(missing_ok=True)
            entry.path.with_suffix(".json").unlink(missing_ok=True)
        return len(old)

    def _read(self, note: Path) -> QuarantinedDataSet:
        record = json.loads(note.read_text(encoding="utf-8"))
        record["path"] = self._folder / record["path"]
        record["received_at"] = datetime.fromisoformat(record["received_at"])
        return QuarantinedDataSet(
            **{field.name: record[field.name] for field in fields(QuarantinedDataSet)}
        )


def _uid_or_nothing(value: str) -> str:
    try:
        return clean_uid(value, name="UID")
    except InvalidUIDError:
        return ""
