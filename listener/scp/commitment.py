"""Storage Commitment as an SCP: requests are durable before they are answered.

A request is kept in a file until the peer has accepted the report, so a node that is killed in
between reports after its next start.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import structlog

from listener.access import Permission
from listener.errors import InvalidInstanceError, ListenerError
from listener.lifecycle import Lifecycle, RepeatingTimer
from listener.scu import (
    CLASS_CONFLICT,
    NO_SUCH_INSTANCE,
    CommitmentReport,
    SOPReference,
    decode_report,
    send_report,
    send_report_over,
)
from listener.spool import read_header, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset
    from pynetdicom import evt
    from pynetdicom.association import Association

    from listener.access import AllowedPeer
    from listener.scp.associations import AssociationRecord, Associations
    from listener.scu import Peer
    from listener.spool import Spool
    from listener.statistics import Counts

log = structlog.get_logger()

_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_INVALID_ARGUMENT = 0x0115
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORISED = 0x0124


@dataclass(frozen=True, slots=True)
class _Request:
    """Request whose report was not accepted yet; `asked_at` in seconds since the epoch."""

    peer: str
    transaction_uid: str
    references: tuple[SOPReference, ...]
    asked_at: float


class CommitmentProvider(Lifecycle):
    """SCP of Storage Commitment for the instances in a spool.

    A report is sent over a new association to the peer's report address. A peer without one gets
    it over the association of its request, while that is open. A failed report is repeated.

    Args:
        spool: with the instances.
        report_address: returns the peer to send reports to by our name of it; None if it has no
            address.
        retry_s: seconds between two tries.
        give_up_s: seconds after which a report is dropped.

    Example:
        >>> may = frozenset({Permission.STORE, Permission.COMMITMENT})
        >>> ct = AllowedPeer("ct1", "CT1", may=may)
        >>> addresses = {"ct1": Peer("CT1", "ct1.clinic.example", 104)}
        >>> with Spool(tmp_path) as spool:
        ...     with CommitmentProvider(spool, report_address=addresses.get) as provider:
        ...         scp = StorageSCP(
        ...             ListenerSettings("NODE", port=0, peers=(ct,)), spool, commitment=provider
        ...         )
        ...         provider.waiting()
        []
    """

    def __init__(
        self,
        spool: Spool,
        *,
        report_address: Callable[[str], Peer | None],
        retry_s: float = 60.0,
        give_up_s: float = 7 * 86400.0,
    ) -> None:
        self._spool = spool
        self._folder = spool.root / "commitments"
        self._folder.mkdir(exist_ok=True)
        self._report_address = report_address
        self._retry_s = retry_s
        self._give_up_s = give_up_s
        self._timer = RepeatingTimer(self._report_waiting, name="commitment", every_s=retry_s)

    def start(self) -> None:
        """Start to repeat failed reports."""
        self._timer.start()

    def stop(self) -> None:
        """Stop to repeat; reports that wait are sent after the next start."""
        self._timer.stop()

    def take(self, information: Dataset, peer: AllowedPeer, association: Association) -> None:
        """Write a request to the disk, and report in a thread of its own.

        Raises:
            InvalidUIDError: a UID in the request is not valid.
            OSError: it can't be written.
        """
        asked = decode_report(information)
        request = _Request(peer.name, asked.transaction_uid, asked.committed, time.time())
        self._write(request)
        log.info(
            "commitment.requested",
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
        """Return the report on a request by the content of the spool now."""
        held = self._spool.find_instances({r.sop_instance_uid for r in request.references})
        committed: list[SOPReference] = []
        failed: list[tuple[SOPReference, int]] = []
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
        """Return the requests whose report was not accepted yet."""
        return [self._read(path) for path in sorted(self._folder.glob("*.json"))]

    def _report(self, request: _Request, association: Association | None = None) -> None:
        report = self.report(request)
        peer = self._report_address(request.peer)
        try:
            if peer is not None:
                send_report(peer, report)
            elif association is not None and association.is_established:
                send_report_over(association, request.peer, report)
            else:
                return
        except (ListenerError, RuntimeError, ValueError) as error:
            log.warning("report.failed", peer=request.peer, reason=str(error))
            return
        self._path(request.transaction_uid).unlink(missing_ok=True)
        log.info(
            "report.sent",
            peer=request.peer,
            transaction_uid=request.transaction_uid,
            committed=len(report.committed),
            failed=len(report.failed),
        )

    def _report_waiting(self) -> None:
        for request in self.waiting():
            if time.time() - request.asked_at > self._give_up_s:
                log.error("commitment.dropped", peer=request.peer)
                self._path(request.transaction_uid).unlink(missing_ok=True)
            elif time.time() - request.asked_at > self._retry_s:
                self._report(request)

    def _path(self, transaction_uid: str) -> Path:
        return self._folder / f"{transaction_uid}.json"

    def _write(self, request: _Request) -> None:
        write_atomically(
            self._path(request.transaction_uid),
            (json.dumps(asdict(request)).encode(),),
            temporary=self._spool.incoming,
        )

    def _read(self, path: Path) -> _Request:
        record = json.loads(path.read_text(encoding="utf-8"))
        references = tuple(SOPReference(**reference) for reference in record.pop("references"))
        return _Request(references=references, **record)


class CommitmentMessages:
    """Handlers of N-ACTION and N-EVENT-REPORT; the arguments are those of `StorageSCP`."""

    def __init__(
        self,
        provider: CommitmentProvider | None,
        on_report: Callable[[CommitmentReport], None] | None,
        *,
        associations: Associations,
        counts: Counts,
    ) -> None:
        self._provider = provider
        self._on_report = on_report
        self._associations = associations
        self._counts = counts

    def on_action(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Handle a request; its report follows."""
        record = self._allowed(event, Permission.COMMITMENT)
        if record is None or self._provider is None:
            return _NOT_AUTHORISED, None
        if event.action_type != 1:  # PS3.4 table J.3-1
            return _NO_SUCH_ACTION, None
        try:
            with structlog.contextvars.bound_contextvars(association=record.id):
                self._provider.take(event.action_information, record.peer, event.assoc)
        except InvalidInstanceError as error:
            log.warning("commitment.refused", association=record.id, reason=error.reason)
            return _INVALID_ARGUMENT, None
        except OSError as error:
            log.error("commitment.failed", association=record.id, reason=str(error))
            return _PROCESSING_FAILURE, None
        self._counts.add("commitments")
        return _SUCCESS, None

    def on_event_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Handle a report on a request of ours."""
        record = self._allowed(event, Permission.REPORT)
        if record is None or self._on_report is None:
            return _NOT_AUTHORISED, None
        try:
            report = decode_report(event.event_information)
            with structlog.contextvars.bound_contextvars(
                association=record.id, peer=record.peer.name
            ):
                self._on_report(report)
        except InvalidInstanceError as error:
            log.warning("report.refused", association=record.id, reason=error.reason)
            return _INVALID_ARGUMENT, None
        except Exception:  # answered as a failure, so that the peer repeats the report
            log.exception("report.callback_failed", association=record.id)
            return _PROCESSING_FAILURE, None
        return _SUCCESS, None

    def _allowed(self, event: evt.Event, permission: Permission) -> AssociationRecord | None:
        record = self._associations.get(event.assoc)
        return record if record is not None and permission in record.peer.may else None
