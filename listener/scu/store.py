"""C-ECHO and C-STORE as an SCU."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import build_context
from pynetdicom.dsutils import split_dataset

from listener.errors import (
    AssociationAbortedError,
    InvalidInstanceError,
    NoPresentationContextError,
)
from listener.scu.association import Peer, associate
from listener.scu.deflated import inflated
from listener.scu.outcome import StoreAbortedError, StoreCategory, StoreOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set
    from pathlib import Path

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

_VERIFICATION = UID("1.2.840.10008.1.1")
# An association has at most 128 contexts, a kind may need two, and two may be of substitutes.
_MAX_KINDS = 63
_SOP_CLASS_NOT_SUPPORTED = 0x0122


@dataclass(frozen=True, slots=True)
class EchoResult:
    """Times of an answered C-ECHO.

    Attributes:
        round_trip_s: seconds from the request to the answer.
        total_s: seconds with the association.

    Example:
        >>> EchoResult(round_trip_s=0.002, total_s=0.01).total_s
        0.01
    """

    round_trip_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Substitutes:
    """Files that go out in the place of others whose SOP class the peer does not accept.

    Attributes:
        of: SOP class that has substitutes.
        sop_class_uids: SOP classes of the substitutes, at most two; they are proposed in Explicit
            VR Little Endian.
        choose: called with a file and those of the SOP classes that the peer accepts, before
            anything is sent of the file; returns its substitute, or None to send nothing. An error
            in it ends the association.

    Example:
        >>> text_only = Substitutes("1.2.3", ("1.2.4",), lambda path, _: path.with_suffix(".txt"))
        >>> text_only.choose(Path("report.dcm"), frozenset({"1.2.4"})).name
        'report.txt'
    """

    of: str
    sop_class_uids: tuple[str, ...]
    choose: Callable[[Path, frozenset[str]], Path | None]


@dataclass(frozen=True, slots=True)
class _Outgoing:
    path: Path
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID

    @property
    def kind(self) -> tuple[UID, UID]:
        return self.sop_class_uid, self.transfer_syntax_uid


def echo(peer: Peer) -> EchoResult:
    """Send a C-ECHO to a peer.

    Raises:
        PeerError: it can't be reached, rejects us, does not accept Verification, or aborts.

    Example:
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool, StorageSCP(settings, spool) as scp:
        ...     node = Peer("NODE", "127.0.0.1", scp.port)
        ...     echo(node).round_trip_s < 60
        True
    """
    begun = time.perf_counter()
    with associate(peer, [build_context(_VERIFICATION)]) as association:
        asked = time.perf_counter()
        answer = association.send_c_echo()
        answered = time.perf_counter()
        if "Status" not in answer:
            raise AssociationAbortedError(f"{peer} did not answer C-ECHO")
    return EchoResult(round_trip_s=answered - asked, total_s=time.perf_counter() - begun)


def store(
    peer: Peer,
    paths: Sequence[Path],
    *,
    on_answer: Callable[[StoreOutcome], None] | None = None,
    substitutes: Substitutes | None = None,
) -> tuple[StoreOutcome, ...]:
    """Send Part 10 files by C-STORE as they are encoded, over one association.

    A context is proposed for each pair of SOP class and transfer syntax; more than 63 pairs need
    several associations. Deflated files are proposed inflated, too, and are inflated for a peer
    that accepts nothing else. An instance without an accepted context is an outcome, not an error,
    as long as the peer accepts another one.

    Args:
        peer: to send to.
        paths: files; the File Meta Information must have SOP class, SOP instance and syntax.
        on_answer: called with each outcome before the next instance is sent, so that no answer is
            lost if this process is killed; an error in it ends the association.
        substitutes: sent in the place of instances that the peer accepts no context for.

    Returns:
        One outcome per path, in their order.

    Raises:
        InvalidInstanceError: a file is not Part 10 or lacks one of these UIDs; nothing was sent.
        PeerUnreachableError, AssociationRejectedError: nothing was sent.
        NoPresentationContextError: the peer accepts no context; nothing was sent.
        StoreAbortedError: the association ended too early; `outcomes` has the answers until then.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> path = Path(get_testdata_file("CT_small.dcm", download=False))
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool, StorageSCP(settings, spool) as scp:
        ...     node = Peer("NODE", "127.0.0.1", scp.port)
        ...     outcomes = store(node, [path])
        >>> outcomes[0].category
        <StoreCategory.SUCCESS: 'success'>
    """
    outgoing = [_outgoing(path) for path in paths]
    outcomes = _Outcomes(on_answer)
    refused: NoPresentationContextError | None = None
    for kinds in _batches(sorted({item.kind for item in outgoing})):
        batch = [(index, item) for index, item in enumerate(outgoing) if item.kind in kinds]
        try:
            _store_batch(peer, kinds, batch, outcomes=outcomes, substitutes=substitutes)
        except AssociationAbortedError as error:
            raise StoreAbortedError(str(error), outcomes=outcomes.in_order()) from error
        except NoPresentationContextError as error:
            refused = error
            for index, item in batch:
                outcomes.add(index, _no_context(item))
    if refused is not None and all(
        outcome.status == _SOP_CLASS_NOT_SUPPORTED for outcome in outcomes.in_order()
    ):
        raise refused
    return outcomes.in_order()


class _Outcomes:
    """Outcomes by the index of their paths; each is also passed to a callback."""

    def __init__(self, on_answer: Callable[[StoreOutcome], None] | None) -> None:
        self._by_index: dict[int, StoreOutcome] = {}
        self._on_answer = on_answer

    def add(self, index: int, outcome: StoreOutcome) -> None:
        self._by_index[index] = outcome
        if self._on_answer is not None:
            self._on_answer(outcome)

    def in_order(self) -> tuple[StoreOutcome, ...]:
        return tuple(self._by_index[index] for index in sorted(self._by_index))


def _outgoing(path: Path) -> _Outgoing:
    try:
        meta, _ = split_dataset(path)
        return _Outgoing(
            path=path,
            sop_class_uid=UID(meta.MediaStorageSOPClassUID),
            sop_instance_uid=UID(meta.MediaStorageSOPInstanceUID),
            transfer_syntax_uid=UID(meta.TransferSyntaxUID),
        )
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        raise InvalidInstanceError("not a Part 10 file with complete file meta") from error


def _batches(kinds: Sequence[tuple[UID, UID]]) -> Iterator[Sequence[tuple[UID, UID]]]:
    for start in range(0, len(kinds), _MAX_KINDS):
        yield kinds[start : start + _MAX_KINDS]


def _encodings(transfer_syntax: UID) -> tuple[UID, ...]:
    """Return the transfer syntaxes to send a file in, the preferred one first."""
    if transfer_syntax.is_deflated:
        return transfer_syntax, ExplicitVRLittleEndian
    return (transfer_syntax,)


def _store_batch(
    peer: Peer,
    kinds: Sequence[tuple[UID, UID]],
    batch: Sequence[tuple[int, _Outgoing]],
    *,
    outcomes: _Outcomes,
    substitutes: Substitutes | None,
) -> None:
    proposed = {(sop_class, one) for sop_class, syntax in kinds for one in _encodings(syntax)}
    if substitutes is not None and any(sop_class == substitutes.of for sop_class, _ in kinds):
        proposed |= {(UID(uid), ExplicitVRLittleEndian) for uid in substitutes.sop_class_uids}
    contexts: list[PresentationContext] = [build_context(*each) for each in sorted(proposed)]
    with associate(peer, contexts) as association:
        taken = {
            (context.abstract_syntax, context.transfer_syntax[0])
            for context in association.accepted_contexts
        }
        for message_id, (index, item) in enumerate(batch, start=1):
            usable = _usable(item, taken)
            sent = item
            if not usable and (other := _substitute(item, substitutes, taken)) is not None:
                sent, usable = other, _usable(other, taken)
            if not usable:
                outcomes.add(index, _no_context(sent))
                continue
            inflate = usable[0] != sent.transfer_syntax_uid
            with inflated(sent.path) if inflate else nullcontext(sent.path) as path:
                answer = _send(association, peer, sent, path, message_id=message_id % 0xFFFF + 1)
            outcomes.add(index, answer)


def _usable(item: _Outgoing, taken: Set[tuple[UID | None, UID]]) -> list[UID]:
    """Return the transfer syntaxes that a file can be sent in, the preferred one first."""
    return [
        one for one in _encodings(item.transfer_syntax_uid) if (item.sop_class_uid, one) in taken
    ]


def _substitute(
    item: _Outgoing, substitutes: Substitutes | None, taken: Set[tuple[UID | None, UID]]
) -> _Outgoing | None:
    if substitutes is None or item.sop_class_uid != substitutes.of:
        return None
    accepted = frozenset(
        uid for uid in substitutes.sop_class_uids if (uid, ExplicitVRLittleEndian) in taken
    )
    path = substitutes.choose(item.path, accepted) if accepted else None
    return None if path is None else _outgoing(path)


def _send(
    association: Association, peer: Peer, item: _Outgoing, path: Path, *, message_id: int
) -> StoreOutcome:
    if not association.is_established:
        raise AssociationAbortedError(f"{peer} ended the association while instances were sent")
    answer = association.send_c_store(path, msg_id=message_id)
    if "Status" not in answer:
        raise AssociationAbortedError(f"{peer} did not answer a C-STORE")
    status = int(answer.Status)
    return StoreOutcome(
        sop_instance_uid=item.sop_instance_uid,
        status=status,
        category=_category(status),
        comment=str(answer.get("ErrorComment", "") or ""),
    )


def _category(status: int) -> StoreCategory:
    if status == 0x0000:
        return StoreCategory.SUCCESS
    if status & 0xF000 == 0xB000 or status == 0x0001 or status in (0x0107, 0x0116):
        return StoreCategory.WARNING  # PS3.7 C.1.2
    return StoreCategory.REFUSED


def _no_context(item: _Outgoing) -> StoreOutcome:
    return StoreOutcome(
        sop_instance_uid=item.sop_instance_uid,
        status=_SOP_CLASS_NOT_SUPPORTED,
        category=StoreCategory.REFUSED,
        comment=f"no context for {item.sop_class_uid.name} as {item.transfer_syntax_uid.name}",
    )
