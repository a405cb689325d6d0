"""Where refused data sets are kept for an administrator to look at."""

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
    """A refused data set: why, from whom, when. Holds no patient data.

    Attributes:
        path: the data set as received, without preamble and file meta.
        reason: what was wrong with it.
        status: what the sender was answered, for example "C000".
        sop_class_uid, sop_instance_uid: as announced, empty where that was no UID.
        size: bytes.
        received_at: UTC, of the first time that this content came.
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
    """Refused data sets in one folder, each kept once however often it is sent.

    Args:
        folder: where they are kept.
        temporary: where they are written first, on the same file system.
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
        """Keep a data set and a JSON file beside it that says why it was refused."""
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
        """Yield what is in quarantine, oldest first."""
        found = [self._read(note) for note in self._folder.glob("*.json")]
        yield from sorted(found, key=lambda entry: (entry.received_at, entry.digest))

    def clear(self, *, before: datetime) -> int:
        """Remove data sets that came before a moment, and return how many."""
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
