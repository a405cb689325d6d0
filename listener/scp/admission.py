"""Admission of associations, and the account of their ends."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import structlog

from listener.access import AccessPolicy, AllowedPeer, Caller, Rejection
from listener.contexts import supported_contexts
from listener.pynetdicom_hooks import (
    caller_of,
    end_reason,
    end_without_request,
    escaped,
    has_asked,
    reject,
    titles_of_request,
)
from listener.scp.associations import AssociationEnd

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom import evt
    from pynetdicom.association import Association

    from listener.scp.associations import Associations
    from listener.spool import LowDiskMark
    from listener.statistics import Counts

log = structlog.get_logger()


class AssociationAdmission:
    """Handlers of the events of associations.

    Args:
        access: decides about callers.
        associations: that are open.
        mark: rejects associations while the disk is low.
        counts: counters.
        on_end: called when an accepted association has ended.
    """

    def __init__(
        self,
        access: AccessPolicy,
        *,
        associations: Associations,
        mark: LowDiskMark,
        counts: Counts,
        on_end: Callable[[AssociationEnd], None] | None,
    ) -> None:
        self._access = access
        self._associations = associations
        self._mark = mark
        self._counts = counts
        self._on_association_end = on_end

    def on_requested(self, event: evt.Event) -> None:
        """Accept or reject the caller."""
        association = event.assoc
        caller = caller_of(association)
        answer = self._admit(association, caller)
        if isinstance(answer, Rejection):
            self._reject(association, answer)
            return
        association.acceptor.supported_contexts = supported_contexts(answer.may)

    def _admit(self, association: Association, caller: Caller) -> AllowedPeer | Rejection:
        peer = self._access.decide(caller)
        if isinstance(peer, Rejection):
            return peer
        if self._mark.is_low:
            return Rejection.DISK_LOW
        record = self._associations.open(association, peer)
        return record if isinstance(record, Rejection) else peer

    def _reject(self, association: Association, rejection: Rejection) -> None:
        self._counts.add("rejected_" + rejection.counter)
        _log_rejection(association, rejection)
        reject(association, rejection)

    def on_established(self, event: evt.Event) -> None:
        """Record an accepted association."""
        self._counts.add("associations")
        record = self._associations.get(event.assoc)
        if record is not None:
            record.established = True
            log.info(
                "association.accepted",
                association=record.id,
                peer=record.peer.name,
                contexts_refused=len(event.assoc.rejected_contexts),
                **_log_keys(event.assoc),
            )

    def on_rejected(self, event: evt.Event) -> None:
        """Count a rejection by pynetdicom itself: too many associations."""
        self._counts.add("rejected_other")
        self._associations.close(event.assoc)
        _log_rejection(event.assoc, Rejection.NODE_LIMIT)

    def on_released(self, event: evt.Event) -> None:
        """Record an association that was released."""
        self._end(event.assoc, released=True)

    def on_aborted(self, event: evt.Event) -> None:
        """Record an association that was aborted, or whose connection broke."""
        self._end(event.assoc, released=False)

    def on_closed(self, event: evt.Event) -> None:
        """Forget a connection that closed before it became an association."""
        association = event.assoc
        record = self._associations.get(association)
        unfinished = record is not None and not record.established
        if unfinished:
            self._associations.close(association)
        if unfinished or (association.requestor.primitive is None and has_asked(association)):
            log.warning(
                "association.aborted", reason=end_reason(association), **_log_keys(association)
            )
        end_without_request(association)

    def _end(self, association: Association, *, released: bool) -> None:
        record = self._associations.close(association)
        if record is None:
            return
        if not released:
            self._counts.add("aborted")
        why = {} if released else {"reason": end_reason(association), **_log_keys(association)}
        log.log(
            logging.INFO if released else logging.WARNING,
            "association.released" if released else "association.aborted",
            **why,
            association=record.id,
            peer=record.peer.name,
            instances=record.instances,
            study_uids=sorted(record.studies),
        )
        if self._on_association_end is None:
            return
        end = AssociationEnd(
            association_id=record.id,
            peer=record.peer.name,
            calling_ae_title=association.requestor.ae_title,
            study_instance_uids=frozenset(record.studies),
            released=released,
        )
        try:
            self._on_association_end(end)
        except Exception:  # a failing subscriber must not disturb the sender
            log.exception("association.callback_failed", association=record.id)


def _log_rejection(association: Association, rejection: Rejection) -> None:
    log.warning(
        "association.rejected",
        code=rejection.name.lower(),
        reason=rejection.explanation,
        **_log_keys(association),
    )


def _log_keys(association: Association) -> dict[str, str]:
    """Return who asked for an association, for the log: titles are the peer's own words."""
    titles = titles_of_request(association)
    return {
        "address": association.requestor.address or "",
        "calling_ae_title": escaped(titles.calling),
        "called_ae_title": escaped(titles.called),
    }
