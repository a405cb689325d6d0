"""C-STORE as a provider: into the spool, then the answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import structlog
from pydicom.dataset import Dataset

from listener.errors import InvalidInstanceError, SpoolWriteError
from listener.part10 import Reception

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom import evt
    from pynetdicom.dimse_primitives import C_STORE

    from listener.associations import AssociationRecord, Associations
    from listener.disk import LowDiskMark
    from listener.settings import Counts
    from listener.spool import Spool, StoredInstance

_log = structlog.get_logger()

SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC000


class StoreProvider:
    """Answers C-STORE requests.

    Args:
        ae_title: ours, for the file meta.
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
        on_stored: Callable[[StoredInstance], None] | None,
    ) -> None:
        self._spool = spool
        self._ae_title = ae_title
        self._mark = mark
        self._associations = associations
        self._counts = counts
        self._on_stored = on_stored

    def handle(self, event: evt.Event) -> int | Dataset:
        """Store what has come; the answer is the status, with a comment where it is refused."""
        record = self._associations.get(event.assoc)
        if record is None:  # an abort came first: nobody is there to hear an answer
            return _status(_OUT_OF_RESOURCES, "the association is over")
        with structlog.contextvars.bound_contextvars(association=record.id, peer=record.peer.name):
            wait = self._associations.wait_s(record.peer)
            if wait:
                self._counts.add("delayed")
                time.sleep(wait)
            return self._store(event, record)

    def _store(self, event: evt.Event, record: AssociationRecord) -> int | Dataset:
        request = cast("C_STORE", event.request)
        if request.DataSet is None:
            return self._refuse_invalid(request, InvalidInstanceError("C-STORE without data set"))
        data = request.DataSet.getbuffer()
        limit = record.peer.limits.object_bytes
        if len(data) > limit:
            return self._refuse_too_large(request, limit)
        reception = Reception(
            transfer_syntax_uid=str(event.context.transfer_syntax),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            calling_ae_title=event.assoc.requestor.ae_title,
            receiving_ae_title=self._ae_title,
        )
        try:
            if not self._mark.has_room(len(data)):
                return self._refuse_resources(request, "disk space is below the low mark")
            stored = self._spool.store(data, reception)
        except InvalidInstanceError as error:
            return self._refuse_invalid(request, error)
        except (SpoolWriteError, OSError) as error:
            return self._refuse_resources(request, str(error))
        self._account(record, stored)
        return SUCCESS

    def _account(self, record: AssociationRecord, stored: StoredInstance) -> None:
        self._counts.add("stored" if stored.new else "duplicates")
        self._counts.add("stored_bytes", stored.size if stored.new else 0)
        record.instances += 1
        record.studies.add(stored.study_instance_uid)
        if self._on_stored is None:
            return
        try:
            self._on_stored(stored)
        except Exception:  # noqa: BLE001  the instance is durable whatever the subscriber does
            _log.exception("instance.callback_failed", sop_instance_uid=stored.sop_instance_uid)

    def _refuse_invalid(self, request: C_STORE, error: InvalidInstanceError) -> Dataset:
        cannot_understand = error.status == _CANNOT_UNDERSTAND
        self._counts.add("refused_invalid" if cannot_understand else "refused_mismatch")
        _log.warning(
            "instance.refused",
            status=f"{error.status:04X}",
            reason=error.reason,
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        return _status(error.status, error.reason)

    def _refuse_too_large(self, request: C_STORE, limit: int) -> Dataset:
        self._counts.add("refused_too_large")
        reason = f"larger than the {limit} bytes that this peer may send"
        _log.warning(
            "instance.refused",
            status=f"{_OUT_OF_RESOURCES:04X}",
            reason=reason,
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        return _status(_OUT_OF_RESOURCES, reason)

    def _refuse_resources(self, request: C_STORE, reason: str) -> Dataset:
        self._counts.add("refused_resources")
        _log.error(
            "instance.refused",
            status=f"{_OUT_OF_RESOURCES:04X}",
            reason=reason,
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
        )
        return _status(_OUT_OF_RESOURCES, "no space or disk failure, try again later")


def _status(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = comment[:64]
    return answer
