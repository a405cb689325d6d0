"""Storage Commitment Push Model (PS3.4 J): requests, and reports over an association."""

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
_ANSWER_S = 0.1  # for our answer to a report, which a release would cut off


@dataclass(frozen=True, slots=True)
class SOPReference:
    """Reference to a SOP instance, for storage commitment.

    Example:
        >>> SOPReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3").sop_instance_uid
        '1.2.3'
    """

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentReport:
    """Storage commitment report of one transaction.

    Attributes:
        transaction_uid: of the request.
        committed: instances that the SCP is responsible for.
        failed: instances that it is not responsible for, with failure reason (PS3.3 C.14.1.1).

    Example:
        >>> kept = SOPReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")
        >>> CommitmentReport("1.2.9", committed=(kept,), failed=()).failed
        ()
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
    """Request storage commitment of instances from a peer.

    Args:
        peer: that should be responsible for them.
        references: the instances.
        transaction_uid: identifies the report.
        wait_s: seconds to keep the association open for a report.

    Returns:
        The peer's report, if it came over this association in time; else it comes over one that
        the peer opens to us (PS3.4 J.3.3).

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        PeerError: it can't be reached, rejects us, does not accept Storage Commitment, or aborts.

    Example:
        >>> may = frozenset({Permission.STORE, Permission.COMMITMENT})
        >>> settings = ListenerSettings("NODE", port=0, peers=(AllowedPeer("ct1", "CT1", may=may),))
        >>> with Spool(tmp_path) as spool:
        ...     provider = CommitmentProvider(spool, report_address=lambda name: None)
        ...     with StorageSCP(settings, spool, commitment=provider) as scp:
        ...         node = Peer("NODE", "127.0.0.1", scp.port, calling_ae_title="CT1")
        ...         missing = SOPReference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1")
        ...         report = request_commitment(
        ...             node, [missing], transaction_uid="1.2.3.9", wait_s=10
        ...         )
        >>> [(reference.sop_instance_uid, hex(reason)) for reference, reason in report.failed]
        [('1.2.3.1', '0x112')]
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
                f"{peer} does not accept a storage commitment request", status=int(answer.Status)
            )
        if arrived.wait(wait_s):
            time.sleep(_ANSWER_S)
    return next((r for r in reports if r.transaction_uid == transaction_uid), None)


def send_report(peer: Peer, report: CommitmentReport) -> None:
    """Send a storage commitment report to a peer over a new association (PS3.4 J.3.3).

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        PeerError: it can't be reached, rejects us, does not accept the report, or aborts.

    Example:
        >>> reports = []
        >>> pacs = AllowedPeer("pacs", "PACS", may=frozenset({Permission.REPORT}))
        >>> settings = ListenerSettings("NODE", port=0, peers=(pacs,))
        >>> with (
        ...     Spool(tmp_path) as spool,
        ...     StorageSCP(settings, spool, on_commitment=reports.append) as scp,
        ... ):
        ...     node = Peer("NODE", "127.0.0.1", scp.port, calling_ae_title="PACS")
        ...     send_report(node, CommitmentReport("1.2.9", committed=(), failed=()))
        >>> reports[0].transaction_uid
        '1.2.9'
    """
    roles = [build_role(PUSH_MODEL, scp_role=True)]
    with associate(peer, [build_context(PUSH_MODEL)], roles=roles) as association:
        send_report_over(association, peer, report)


def send_report_over(association: Association, peer: object, report: CommitmentReport) -> None:
    """Send a storage commitment report over an open association.

    Raises:
        CommitmentRefusedError: the peer answered with a failure.
        AssociationAbortedError: the peer did not answer.
    """
    kind = _SOME_FAILED if report.failed else _ALL_COMMITTED
    answer, _ = association.send_n_event_report(
        encode_report(report), kind, PUSH_MODEL, PUSH_MODEL_INSTANCE
    )
    if "Status" not in answer:
        raise AssociationAbortedError(f"{peer} did not answer a storage commitment report")
    if answer.Status != _SUCCESS:
        raise CommitmentRefusedError(
            f"{peer} does not accept a storage commitment report", status=int(answer.Status)
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
    """Decode Action or Event Information; the instances of a request count as committed.

    Raises:
        InvalidUIDError: a UID is missing or not valid.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> information = Dataset()
        >>> information.TransactionUID = "1.2.9"
        >>> decode_report(information)
        CommitmentReport(transaction_uid='1.2.9', committed=(), failed=())
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
