"""Storage Commitment Push Model (PS3.4 J): what is asked, and what is answered."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, build_role

from listener.errors import AssociationAbortedError, CommitmentRefusedError, InvalidUIDError
from listener.scu.association import associate
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pynetdicom import evt
    from pynetdicom.association import Association

    from listener.scu.association import Peer

PUSH_MODEL = UID("1.2.840.10008.1.20.1")
PUSH_MODEL_INSTANCE = UID("1.2.840.10008.1.20.1.1")

NO_SUCH_INSTANCE = 0x0112
CLASS_CONFLICT = 0x0119

_REQUEST = 1
_ALL_COMMITTED = 1
_SOME_FAILED = 2
_SUCCESS = 0x0000
_INVALID_ARGUMENT = 0x0115
_ANSWER_S = 0.1  # our answer to a report leaves before the release, which would break it


@dataclass(frozen=True, slots=True)
class SOPReference:
    """A SOP instance that commitment is about."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """What a peer has taken responsibility for, and what not.

    Attributes:
        failed: SOP Instance UID and failure reason (PS3.3 C.14.1.1) of each that it has not.
    """

    transaction_uid: str
    committed: tuple[SOPReference, ...]
    failed: tuple[tuple[SOPReference, int], ...]


def request_commitment(
    peer: Peer,
    references: Sequence[SOPReference],
    *,
    transaction_uid: str,
    wait_s: float = 2.0,
) -> CommitmentReport | None:
    """Ask a peer to take responsibility for instances.

    Args:
        peer: whom to ask.
        references: what for.
        transaction_uid: by which the report will be known.
        wait_s: seconds to leave the association open for a report.

    Returns:
        The peer's report, if it came over this association in time; else it comes over one that
        the peer opens to us (PS3.4 J.3.3).

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        PeerError: it can't be reached, rejects us, does not take Storage Commitment, or aborts.
    """
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_item(reference) for reference in references]
    reports: list[CommitmentReport] = []
    arrived = threading.Event()

    def take(event: evt.Event) -> tuple[int, None]:
        try:
            reports.append(decode_report(event.event_information))
        except InvalidUIDError:
            return _INVALID_ARGUMENT, None
        arrived.set()
        return _SUCCESS, None

    contexts = [build_context(PUSH_MODEL)]
    with associate(peer, contexts, on_event_report=take) as association:
        answer, _ = association.send_n_action(request, _REQUEST, PUSH_MODEL, PUSH_MODEL_INSTANCE)
        if "Status" not in answer:
            raise AssociationAbortedError(f"{peer} did not answer a storage commitment request")
        if answer.Status != _SUCCESS:
            raise CommitmentRefusedError(
                f"{peer} does not take a storage commitment request", status=int(answer.Status)
            )
        if arrived.wait(wait_s):
            time.sleep(_ANSWER_S)
    return next((r for r in reports if r.transaction_uid == transaction_uid), None)


def send_report(peer: Peer, report: CommitmentReport) -> None:
    """Tell a peer what we are responsible for, over a new association (PS3.4 J.3.3).

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        PeerError: it can't be reached, rejects us, does not take the report, or aborts.
    """
    roles = [build_role(PUSH_MODEL, scp_role=True)]
    with associate(peer, [build_context(PUSH_MODEL)], roles=roles) as association:
        send_report_over(association, peer, report)


def send_report_over(association: Association, peer: object, report: CommitmentReport) -> None:
    """Tell a peer over an association that is open.

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        AssociationAbortedError: it did not answer.
    """
    kind = _SOME_FAILED if report.failed else _ALL_COMMITTED
    answer, _ = association.send_n_event_report(
        encode_report(report), kind, PUSH_MODEL, PUSH_MODEL_INSTANCE
    )
    if "Status" not in answer:
        raise AssociationAbortedError(f"{peer} did not answer a storage commitment report")
    if answer.Status != _SUCCESS:
        raise CommitmentRefusedError(
            f"{peer} does not take a storage commitment report", status=int(answer.Status)
        )


def encode_report(report: CommitmentReport) -> Dataset:
    """Return the Event Information (PS3.4 table J.3-2)."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    dataset.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        dataset.FailedSOPSequence = [
            _item(reference, reason=reason) for reference, reason in report.failed
        ]
    return dataset


def decode_report(information: Dataset) -> CommitmentReport:
    """Read Action or Event Information; what a peer asks for counts as committed.

    Raises:
        InvalidUIDError: a UID is missing or is none.
    """
    return CommitmentReport(
        transaction_uid=clean_uid(
            str(information.get("TransactionUID", "")), name="TransactionUID"
        ),
        committed=tuple(_references(information.get("ReferencedSOPSequence") or ())),
        failed=tuple(
            (reference, int(item.get("FailureReason", 0x0110)))
            for item in information.get("FailedSOPSequence") or ()
            for reference in _references([item])
        ),
    )


def _references(items: Iterable[Dataset]) -> Iterable[SOPReference]:
    for item in items:
        yield SOPReference(
            clean_uid(str(item.get("ReferencedSOPClassUID", "")), name="ReferencedSOPClassUID"),
            clean_uid(
                str(item.get("ReferencedSOPInstanceUID", "")), name="ReferencedSOPInstanceUID"
            ),
        )


def _item(reference: SOPReference, *, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item
