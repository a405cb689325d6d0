"""C-STORE as an SCP: the data set goes into the spool, then the answer is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from listener.contexts import is_storage
from listener.errors import InvalidInstanceError, SpoolWriteError
from listener.pynetdicom_hooks import StoreResponse
from listener.spool import TransferInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association
    from pynetdicom.presentation import PresentationContext

    from listener.pynetdicom_hooks import CommandSet
    from listener.scp.associations import AssociationRecord, Associations
    from listener.spool import IncomingDataSet, LowDiskMark, Spool, StoreReceipt
    from listener.statistics import Counts

log = structlog.get_logger()

SUCCESS = 0x0000
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC000
_NO_ROOM = "no space or disk failure, try again later"
# Bytes that are written between two measurements of the free space.
_MEASURE_EVERY = 16 * 1024 * 1024


class StoreProvider:
    """SCP of C-STORE.

    Args:
        spool: for the instances.
        ae_title: our AE title, for the File Meta Information.
        mark: refuses instances while the disk is low.
        associations: that are open.
        counts: counters.
        on_stored: called when an instance is durable, before it is acknowledged.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        ae_title: str,
        mark: LowDiskMark,
        associations: Associations,
        counts: Counts,
        on_stored: Callable[[StoreReceipt], None] | None,
    ) -> None:
        self.spool = spool
        self.mark = mark
        self.counts = counts
        self._ae_title = ae_title
        self._associations = associations
        self._on_stored = on_stored

    def begin(
        self, association: Association, context: PresentationContext, request: CommandSet
    ) -> IncomingInstance:
        """Begin to receive an instance."""
        record = self._associations.get(association)
        transfer = TransferInfo(
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            calling_ae_title=association.requestor.ae_title,
            receiving_ae_title=self._ae_title,
        )
        if record is not None:  # the calling thread serves this association only
            structlog.contextvars.bind_contextvars(association=record.id, peer=record.peer.name)
        receiving = IncomingInstance(self, record, transfer)
        if not is_storage(context.abstract_syntax):
            receiving.refuse("mismatch", _SOP_CLASS_NOT_SUPPORTED, "not a context for instances")
        return receiving

    def delay_s(self, record: AssociationRecord) -> float:
        """Return the seconds by which to delay an answer, and count it if it is delayed."""
        delay = self._associations.wait_s(record.peer)
        if delay:
            self.counts.add("delayed")
        return delay

    def account(self, record: AssociationRecord, stored: StoreReceipt) -> None:
        """Count a durable instance and pass it to the subscriber."""
        self.counts.add("stored" if stored.new else "duplicates")
        self.counts.add("stored_bytes", stored.size if stored.new else 0)
        record.instances += 1
        record.studies.add(stored.study_instance_uid)
        if self._on_stored is None:
            return
        try:
            self._on_stored(stored)
        except Exception:  # the instance is durable anyway
            log.exception("instance.callback_failed", sop_uid=stored.sop_instance_uid)


class IncomingInstance:
    """Instance that is being received; only the thread that reads the association uses it.

    The rest of a refused data set is read and dropped, so that the sender gets an answer and the
    association goes on.
    """

    def __init__(
        self, provider: StoreProvider, record: AssociationRecord | None, transfer: TransferInfo
    ) -> None:
        self._provider = provider
        self._record = record
        self._transfer = transfer
        self._incoming: IncomingDataSet | None = None
        self._refusal: StoreResponse | None = None
        self._size = 0
        self._measured_at = 0
        self._room: int | None = None

    def write(self, fragment: memoryview) -> None:
        """Write the next part of the data set."""
        self._size += len(fragment)
        if self._refusal is not None:
            return
        if self._record is None:  # an abort came first: there is nobody to answer
            self.refuse("resources", _OUT_OF_RESOURCES, "the association is over")
            return
        limit = self._record.peer.limits.object_bytes
        if self._size > limit:
            reason = f"larger than the {limit} bytes that this peer may send"
            self.refuse("too_large", _OUT_OF_RESOURCES, reason)
        elif not self._has_room():
            self.refuse(
                "resources", _OUT_OF_RESOURCES, _NO_ROOM, why="disk space is below the low mark"
            )
        else:
            self._append(fragment)

    def finish(self) -> StoreResponse:
        """Keep the complete data set and return the answer; call `close` after it was sent."""
        if self._refusal is None and self._incoming is None:
            self._refuse_invalid(InvalidInstanceError("C-STORE without data set"))
        if self._refusal is None:
            self._keep()
        answer = self._refusal or StoreResponse(SUCCESS)
        delay_s = 0.0 if self._record is None else self._provider.delay_s(self._record)
        return StoreResponse(answer.status, answer.comment, delay_s)

    def close(self) -> None:
        """Delete the data set unless it was kept."""
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    def refuse(self, counter: str, status: int, comment: str, *, why: str = "") -> None:
        """Refuse the instance; `why` goes to the log instead of the comment for the sender."""
        self.close()
        self._refusal = StoreResponse(status, comment[:64])
        self._provider.counts.add("refused_" + counter)
        report = log.error if counter == "resources" else log.warning
        report(
            "instance.refused",
            status=f"{status:04X}",
            reason=why or comment,
            sop_uid=self._transfer.sop_instance_uid,
        )

    def _has_room(self) -> bool:
        if self._room is None or self._size - self._measured_at > _MEASURE_EVERY:
            left = self._provider.mark.room()
            if left is None:
                return False
            written = 0 if self._incoming is None else self._incoming.size
            self._measured_at, self._room = self._size, written + left
        return self._size <= self._room

    def _append(self, fragment: memoryview) -> None:
        try:
            if self._incoming is None:
                self._incoming = self._provider.spool.receive(self._transfer)
            self._incoming.write(fragment)
        except SpoolWriteError as error:
            self.refuse("resources", _OUT_OF_RESOURCES, _NO_ROOM, why=str(error))

    def _keep(self) -> None:
        incoming, record = self._incoming, self._record
        assert incoming is not None
        assert record is not None
        try:
            stored = self._provider.spool.keep(incoming, self._transfer)
        except InvalidInstanceError as error:
            self._refuse_invalid(error)
        except (SpoolWriteError, OSError) as error:
            self.refuse("resources", _OUT_OF_RESOURCES, _NO_ROOM, why=str(error))
        else:
            self._provider.account(record, stored)

    def _refuse_invalid(self, error: InvalidInstanceError) -> None:
        cannot_understand = error.status == _CANNOT_UNDERSTAND
        counter = "invalid" if cannot_understand else "mismatch"
        self.refuse(counter, error.status, error.reason)
