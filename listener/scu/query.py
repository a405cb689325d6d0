"""C-FIND, C-MOVE and C-GET in the Study Root information model (PS3.4 C.6.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context, build_role

from listener.contexts import IMAGE_SOP_CLASSES, RESULT_SOP_CLASSES, transfer_syntaxes
from listener.errors import AssociationAbortedError, QueryFailedError
from listener.scu.association import Peer, associate
from listener.spool import TransferInfo, file_header, write_atomically
from listener.uids import clean_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pynetdicom import evt

_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_MOVE = UID("1.2.840.10008.5.1.4.1.2.2.2")
_GET = UID("1.2.840.10008.5.1.4.1.2.2.3")
_PENDING = frozenset((0xFF00, 0xFF01))
_SUCCESS = 0x0000
_SOME_FAILED = 0xB000

Level = Literal["STUDY", "SERIES", "IMAGE"]

_RETURN_KEYS: dict[Level, tuple[str, ...]] = {
    "STUDY": ("StudyInstanceUID", "StudyDate", "StudyTime", "ModalitiesInStudy"),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "SeriesNumber"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
}


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Result of a C-MOVE or C-GET.

    Attributes:
        status: final DIMSE status.
        completed: number of instances that were sent.
        warning: number of instances that were sent with a warning.
        failed: number of instances that could not be sent.

    Example:
        >>> MoveResult(status=0xB000, completed=9, warning=0, failed=1).failed
        1
    """

    status: int
    completed: int
    warning: int
    failed: int


def find(
    peer: Peer,
    level: Level,
    keys: Mapping[str, str],
    *,
    return_keys: Iterable[str] | None = None,
    limit: int = 10_000,
) -> tuple[Dataset, ...]:
    """Query a peer by C-FIND.

    Args:
        peer: to query.
        level: of the matches.
        keys: matching keys by keyword, for example `{"StudyInstanceUID": uid}`.
        return_keys: keywords of further attributes to return; None for the usual ones of the level.
        limit: number of matches above which the query fails.

    Returns:
        One identifier per match, in the peer's order.

    Raises:
        QueryFailedError: the peer failed, or had more matches than the limit.
        PeerError: it can't be reached, rejects us, does not accept C-FIND, or aborts.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> header = Dataset()
        >>> header.StudyInstanceUID, header.StudyDate = "1.2.3", "20261128"
        >>> ward = AllowedPeer("ward", "WARD", may=frozenset({Permission.FIND}))
        >>> settings = ListenerSettings("NODE", port=0, peers=(ward,))
        >>> with (
        ...     Spool(tmp_path) as spool,
        ...     StorageSCP(settings, spool, findable=lambda query: [header]) as scp,
        ... ):
        ...     node = Peer("NODE", "127.0.0.1", scp.port, calling_ae_title="WARD")
        ...     matches = find(node, "STUDY", {"StudyDate": "20261101-"})
        >>> matches[0].StudyInstanceUID
        '1.2.3'
    """
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword in _RETURN_KEYS[level] if return_keys is None else return_keys:
        setattr(identifier, keyword, None)
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    matches: list[Dataset] = []
    with associate(peer, [build_context(_FIND)]) as association:
        answers = association.send_c_find(identifier, _FIND)
        for status, match in _answers(answers, peer, limit=limit):
            if status in _PENDING and match is not None:
                matches.append(match)
    return tuple(matches)


def move(peer: Peer, study_instance_uid: str, destination_ae: str) -> MoveResult:
    """Have a peer send a study to a destination, by C-MOVE.

    Args:
        peer: that has the study.
        study_instance_uid: the study.
        destination_ae: AE title of the destination; the peer must know its address.

    Raises:
        QueryFailedError: the peer failed; sub-operations that failed are a result, not an error.
        PeerError: it can't be reached, rejects us, does not accept C-MOVE, or aborts.

    Example:
        >>> pacs = Peer("PACS", "127.0.0.1", 1, connect_timeout_s=1)
        >>> try:
        ...     move(pacs, "1.2.3", "NODE")
        ... except ListenerError as error:
        ...     print(error)
        PACS at 127.0.0.1:1 can't be reached; check its address and that it runs
    """
    identifier = _study_identifier(study_instance_uid)
    with associate(peer, [build_context(_MOVE)]) as association:
        answers = association.send_c_move(identifier, destination_ae, _MOVE)
        return _last(_answers(answers, peer, limit=None))


def get(
    peer: Peer,
    study_instance_uid: str,
    folder: Path,
    *,
    series_instance_uid: str | None = None,
    sop_classes: Sequence[UID] = (*IMAGE_SOP_CLASSES, *RESULT_SOP_CLASSES),
) -> tuple[Path, ...]:
    """Fetch a study, or one series of it, by C-GET into Part 10 files.

    Args:
        peer: that has the study.
        study_instance_uid: the study.
        folder: for the files; made if missing. A file is named by its SOP Instance UID and
            replaces one of that name.
        series_instance_uid: the only series to fetch.
        sop_classes: to accept, at most 127.

    Returns:
        Paths of the files, sorted.

    Raises:
        QueryFailedError: the peer failed, or could not send everything.
        PeerError: it can't be reached, rejects us, does not accept C-GET, or aborts.

    Example:
        >>> pacs = Peer("PACS", "127.0.0.1", 1, connect_timeout_s=1)
        >>> try:
        ...     get(pacs, "1.2.3", tmp_path)
        ... except ListenerError as error:
        ...     print(error)
        PACS at 127.0.0.1:1 can't be reached; check its address and that it runs
    """
    identifier = _study_identifier(study_instance_uid)
    if series_instance_uid is not None:
        identifier.QueryRetrieveLevel = "SERIES"
        identifier.SeriesInstanceUID = series_instance_uid
    folder.mkdir(parents=True, exist_ok=True)
    files = _Files(folder, peer)
    syntaxes: list[str | UID] = list(transfer_syntaxes())
    # One context per SOP class: the peer chooses one of the transfer syntaxes.
    contexts = [build_context(_GET), *(build_context(uid, syntaxes) for uid in sop_classes)]
    roles = [build_role(uid, scp_role=True) for uid in sop_classes]
    with associate(peer, contexts, roles=roles, on_c_store=files.take) as association:
        answers = association.send_c_get(identifier, _GET)
        result = _last(_answers(answers, peer, limit=None))
    if result.failed:
        raise QueryFailedError(
            f"{peer} could not send {result.failed} instances", status=result.status
        )
    return tuple(sorted(files.paths))


class _Files:
    """Writer of the instances of a C-GET."""

    def __init__(self, folder: Path, peer: Peer) -> None:
        self._folder = folder
        self._peer = peer
        self.paths: set[Path] = set()

    def take(self, event: evt.Event) -> int:
        request: Any = event.request
        transfer = TransferInfo(
            transfer_syntax_uid=str(event.context.transfer_syntax),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=clean_uid(
                str(request.AffectedSOPInstanceUID), name="AffectedSOPInstanceUID"
            ),
            calling_ae_title=self._peer.ae_title,
            receiving_ae_title=self._peer.calling_ae_title,
        )
        path = self._folder / f"{transfer.sop_instance_uid}.dcm"
        data = b"" if request.DataSet is None else request.DataSet.getbuffer()
        write_atomically(path, (file_header(transfer), data), temporary=self._folder)
        self.paths.add(path)
        return _SUCCESS


def _study_identifier(study_instance_uid: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = study_instance_uid
    return identifier


def _answers(
    answers: Iterator[tuple[Dataset, Dataset | None]], peer: Peer, *, limit: int | None
) -> Iterator[tuple[int, Dataset | None]]:
    """Yield each status with its identifier; the last one with its response data set."""
    for count, (answer, identifier) in enumerate(answers, start=1):
        if "Status" not in answer:
            raise AssociationAbortedError(f"{peer} did not answer a query in time")
        status = int(answer.Status)
        if status in _PENDING:
            if limit is not None and count > limit:
                raise QueryFailedError(f"{peer} has over {limit} matches", status=status)
            yield status, identifier
            continue
        if status not in (_SUCCESS, _SOME_FAILED):
            comment = answer.get("ErrorComment", "") or "no comment"
            raise QueryFailedError(f"{peer} failed with {status:04X}: {comment}", status=status)
        yield status, answer
        return
    raise AssociationAbortedError(f"{peer} ended the association during a query")


def _last(answers: Iterator[tuple[int, Dataset | None]]) -> MoveResult:
    for status, answer in answers:
        if status not in _PENDING and answer is not None:
            return MoveResult(
                status=status,
                completed=_count(answer, "NumberOfCompletedSuboperations"),
                warning=_count(answer, "NumberOfWarningSuboperations"),
                failed=_count(answer, "NumberOfFailedSuboperations"),
            )
    raise AssertionError("unreachable: a query ends with a status or an error")


def _count(answer: Dataset, keyword: str) -> int:
    return int(answer.get(keyword, 0) or 0)
