"""N-ACTION and N-EVENT-REPORT of Storage Commitment, as they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from listener.access import Permission
from listener.errors import InvalidInstanceError
from listener.scu.commitment import decoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydicom.dataset import Dataset
    from pynetdicom import evt

    from listener.scp.associations import AssociationRecord, Associations
    from listener.scp.commitment import CommitmentProvider
    from listener.scu.commitment import CommitmentReport
    from listener.settings import Counts

_log = structlog.get_logger()

_SUCCESS = 0x0000
_PROCESSING_FAILURE = 0x0110
_INVALID_ARGUMENT = 0x0115
_NO_SUCH_ACTION = 0x0123
_NOT_AUTHORISED = 0x0124


class CommitmentMessages:
    """Answers them; the arguments are those of `StorageSCP`."""

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
        """Take a request; its report follows."""
        record = self._allowed(event, Permission.COMMITMENT)
        if record is None or self._provider is None:
            return _NOT_AUTHORISED, None
        if event.action_type != 1:  # PS3.4 table J.3-1
            return _NO_SUCH_ACTION, None
        try:
            with structlog.contextvars.bound_contextvars(association=record.id):
                self._provider.take(event.action_information, record.peer, event.assoc)
        except InvalidInstanceError as error:
            _log.warning("commitment.refused", association=record.id, reason=error.reason)
            return _INVALID_ARGUMENT, None
        except OSError as error:
            _log.error("commitment.failed", association=record.id, reason=str(error))
            return _PROCESSING_FAILURE, None
        self._counts.add("commitments")
        return _SUCCESS, None

    def on_event_report(self, event: evt.Event) -> tuple[int, Dataset | None]:
        """Take a report about what we asked."""
        record = self._allowed(event, Permission.REPORT)
        if record is None or self._on_report is None:
            return _NOT_AUTHORISED, None
        try:
            report = decoded(event.event_information)
            with structlog.contextvars.bound_contextvars(
                association=record.id, peer=record.peer.name
            ):
                self._on_report(report)
        except InvalidInstanceError as error:
            _log.warning("commitment.report_refused", association=record.id, reason=error.reason)
            return _INVALID_ARGUMENT, None
        except Exception:  # noqa: BLE001  a subscriber's failure is told, so that it comes again
            _log.exception("commitment.report_callback_failed", association=record.id)
            return _PROCESSING_FAILURE, None
        return _SUCCESS, None

    def _allowed(self, event: evt.Event, permission: Permission) -> AssociationRecord | None:
        record = self._associations.get(event.assoc)
        return record if record is not None and permission in record.peer.may else None
