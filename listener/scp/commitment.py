"""Storage Commitment as a provider: requests are written down before they are answered.

What a peer asks is kept in a file until the peer has taken the report, so that a node that is
killed in between still reports after its next start.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from listener.errors import ListenerError
from listener.periodic import Repeating
from listener.scu.commitment import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    CommitmentReport,
    Reference,
    decoded,
    report_on,
    send_report,
)
from listener.spool.durable import sync_folder, write_temporary
from listener.spool.part10 import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pynetdicom.association import Association

    from listener.access import AllowedPeer
    from listener.scu.association import Peer
    from listener.spool.spool import Spool

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits for its report to be taken; `asked_at` in seconds since the epoch."""

    peer: str
    transaction_uid: str
    references: tuple[Reference, ...]
    asked_at: float


class CommitmentProvider:
    """Answers storage commitment requests from what the spool holds.

    The report goes over the association that asked, if that is still open, else over a new one to
    where the peer listens, and is tried again until it is taken.

    Args:
        spool: what is asked about.
        call_back: gives the peer to call for a name of ours; None where it has no address.
        retry_s: seconds between two tries.
        give_up_s: seconds after which a report is dropped.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        call_back: Callable[[str], Peer | None],
        retry_s: float = 60.0,
        give_up_s: float = 7 * 86400.0,
    ) -> None:
        self._spool = spool
        self._folder = spool.root / "commitments"
        self._folder.mkdir(exist_ok=True)
        self._call_back = call_back
        self._retry_s = retry_s
        self._give_up_s = give_up_s
        self._repeating = Repeating(self._report_waiting, name="commitment", every_s=retry_s)

    def start(self) -> None:
        """Start sending the reports that wait."""
        self._repeating.start()

    def stop(self) -> None:
        """Stop sending; what waits is sent after the next start."""
        self._repeating.stop()

    def take(self, information: Dataset, peer: AllowedPeer, association: Association) -> None:
        """Write down a request, and report on the same association after the answer to it.

        Raises:
            InvalidUIDError: the request holds something that is no UID.
            OSError: it can't be written down; nothing was promised.
        """
        asked = decoded(information)
        request = _Request(peer.name, asked.transaction_uid, asked.committed, time.time())
        self._write(request)
        _log.info(
            "commitment.asked",
            peer=peer.name,
            transaction_uid=request.transaction_uid,
            instances=len(request.references),
        )
        threading.Thread(
            target=self._report,
            args=(request, association),
            name="commitment-report",
            daemon=True,
        ).start()

    def report(self, request: _Request) -> CommitmentReport:
        """Look into the spool now."""
        held = self._spool.find_instances({r.sop_instance_uid for r in request.references})
        committed: list[Reference] = []
        failed: list[tuple[Reference, int]] = []
        for reference in request.references:
            path = held.get(reference.sop_instance_uid)
            header = None if path is None else read_header(path)
            if header is None:
                failed.append((reference, NO_SUCH_INSTANCE))
            elif header.sop_class_uid != reference.sop_class_uid:
                failed.append((reference, CLASS_CONFLICT))
            else:
                committed.append(reference)
        return CommitmentReport(request.transaction_uid, tuple(committed), tuple(failed))

    def waiting(self) -> list[_Request]:
        """Return the requests whose report has not been taken."""
        return [self._read(path) for path in sorted(self._folder.glob("*.json"))]

    def _report(self, request: _Request, association: Association | None = None) -> None:
        report = self.report(request)
        peer = self._call_back(request.peer)
        try:
            if peer is not None:
                send_report(peer, report)
            elif association is not None and association.is_established:
                report_on(association, request.peer, report)
            else:
                return
        except (ListenerError, RuntimeError, ValueError) as error:
            _log.warning("commitment.report_failed", peer=request.peer, reason=str(error))
            return
        self._path(request.transaction_uid).unlink(missing_ok=True)
        _log.info(
            "commitment.reported",
            peer=request.peer,
            transaction_uid=request.transaction_uid,
            committed=len(report.committed),
            failed=len(report.failed),
        )

    def _report_waiting(self) -> None:
        for request in self.waiting():
            if time.time() - request.asked_at > self._give_up_s:
                _log.error("commitment.given_up", peer=request.peer)
                self._path(request.transaction_uid).unlink(missing_ok=True)
            elif time.time() - request.asked_at > self._retry_s:
                self._report(request)

    def _path(self, transaction_uid: str) -> Path:
        return self._folder / f"{transaction_uid}.json"

    def _write(self, request: _Request) -> None:
        text = json.dumps(asdict(request)).encode()
        temporary = write_temporary(
            self._spool.root / "incoming", (text,), modified_ns=time.time_ns()
        )
        temporary.rename(self._path(request.transaction_uid))
        sync_folder(self._folder)

    def _read(self, path: Path) -> _Request:
        record = json.loads(path.read_text(encoding="utf-8"))
        references = tuple(Reference(**reference) for reference in record.pop("references"))
        return _Request(references=references, **record)
