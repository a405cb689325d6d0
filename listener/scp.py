"""The Application Entity that receives: C-ECHO and C-STORE into the spool."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from listener.access import AccessPolicy
from listener.contexts import storage_contexts
from listener.errors import InvalidInstanceError, SpoolWriteError
from listener.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Reception
from listener.settings import AssociationEnd, ListenerSettings, ListenerStatistics

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pynetdicom.association import Association
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.pdu_primitives import A_ASSOCIATE

    from listener.spool import Spool, StoredInstance

__all__ = ["AssociationEnd", "ListenerSettings", "ListenerStatistics", "StorageSCP"]

_log = structlog.get_logger()

_SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700
_REJECTED_PERMANENT = 0x01
_SERVICE_USER = 0x01
_POLL_S = 0.02


class _Server(ThreadedAssociationServer):
    """Accepts connections without Nagle's delay and with room for a burst of them."""

    request_queue_size = 128

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        client, address = super().get_request()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client, address

    def stop_accepting(self) -> None:
        """End `serve_forever` and close the listening socket; associations live on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()


class StorageSCP:
    """A Storage and Verification SCP in front of a spool.

    Args:
        settings: how to listen.
        spool: where received instances become durable before they are acknowledged.
        on_stored: called after an instance is durable and before it is acknowledged; what it
            raises is logged and changes nothing for the sender. Called from many threads.
        on_association_end: called when an association that was accepted is over.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        on_stored: Callable[[StoredInstance], None] | None = None,
        *,
        on_association_end: Callable[[AssociationEnd], None] | None = None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._on_stored = on_stored
        self._on_association_end = on_association_end
        self._access = AccessPolicy(settings.ae_title, settings.calling_ae_titles)
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._studies: dict[Association, set[str]] = {}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._ae = self._make_ae()

    def __enter__(self) -> StorageSCP:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The TCP port that is listened on.

        Raises:
            RuntimeError: not started.
        """
        if self._server is None:
            raise RuntimeError("the Storage SCP is not started")
        return int(self._server.server_address[1])

    @property
    def statistics(self) -> ListenerStatistics:
        """What happened until now."""
        with self._lock:
            names = ListenerStatistics.__dataclass_fields__
            return ListenerStatistics(**{name: self._counts[name] for name in names})

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is in use or not ours.
        """
        if self._server is not None:
            return
        address = (self._settings.host, self._settings.port)
        server = cast(
            "_Server",
            self._ae.make_server(address, server_class=_Server, evt_handlers=self._handlers()),
        )
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="storage-scp",
            daemon=True,
        )
        self._thread.start()
        _log.info("listener.started", ae_title=self._settings.ae_title, port=self.port)
        if self._access.is_open:
            _log.warning(
                "listener.open", hint="any calling AE title is let in; name the allowed ones"
            )

    def stop(self) -> None:
        """Stop accepting, let running associations end within the limit, then abort them."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        server.stop_accepting()
        thread.join()
        self._server = self._thread = None
        deadline = time.monotonic() + self._settings.stop_timeout_s
        while server.active_associations and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for association in server.active_associations:
            _log.warning("listener.aborting", calling_ae_title=association.requestor.ae_title)
            association.abort()
        _log.info("listener.stopped", ae_title=self._settings.ae_title)

    def _make_ae(self) -> AE:
        settings = self._settings
        ae = AE(settings.ae_title)
        ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.supported_contexts = storage_contexts()
        ae.maximum_pdu_size = settings.max_pdu
        ae.maximum_associations = settings.max_associations
        ae.acse_timeout = settings.acse_timeout_s
        ae.dimse_timeout = settings.dimse_timeout_s
        ae.network_timeout = settings.network_timeout_s
        return ae

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_aborted),
            (evt.EVT_C_ECHO, self._on_c_echo),
            (evt.EVT_C_STORE, self._on_c_store),
        ]

    def _count(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._counts[name] += amount

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request = cast("A_ASSOCIATE", association.requestor.primitive)
        refusal = self._access.refusal(
            calling_ae_title=request.calling_ae_title, called_ae_title=request.called_ae_title
        )
        if refusal is None:
            return
        self._count("rejected_" + refusal.counter)
        _log.warning(
            "association.rejected",
            reason=refusal.name.lower(),
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            address=association.requestor.address,
        )
        association.acse.send_reject(_REJECTED_PERMANENT, _SERVICE_USER, refusal.value)
        association.kill()

    def _on_established(self, event: evt.Event) -> None:
        self._count("associations")
        with self._lock:
            self._studies[event.assoc] = set()

    def _on_rejected(self, event: evt.Event) -> None:
        """Count what the library itself rejects: too many associations."""
        self._count("rejected_other")
        _log.warning(
            "association.rejected",
            reason="limit_of_associations",
            calling_ae_title=event.assoc.requestor.ae_title,
        )

    def _on_released(self, event: evt.Event) -> None:
        self._end(event.assoc, released=True)

    def _on_aborted(self, event: evt.Event) -> None:
        self._count("aborted")
        _log.warning("association.aborted", calling_ae_title=event.assoc.requestor.ae_title)
        self._end(event.assoc, released=False)

    def _end(self, association: Association, *, released: bool) -> None:
        with self._lock:
            studies = self._studies.pop(association, None)
        if studies is None or self._on_association_end is None:
            return
        end = AssociationEnd(
            calling_ae_title=association.requestor.ae_title,
            study_instance_uids=frozenset(studies),
            released=released,
        )
        try:
            self._on_association_end(end)
        except Exception:  # noqa: BLE001  a subscriber's failure is not the sender's
            _log.exception("association.end_callback_failed")

    def _on_c_echo(self, _event: evt.Event) -> int:
        self._count("echoes")
        return _SUCCESS

    def _on_c_store(self, event: evt.Event) -> int | Dataset:
        request = cast("C_STORE", event.request)
        if request.DataSet is None:
            error = InvalidInstanceError("C-STORE without data set")
            return self._refuse_invalid(event, error)
        data = request.DataSet.getbuffer()
        reception = Reception(
            transfer_syntax_uid=str(event.context.transfer_syntax),
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            calling_ae_title=event.assoc.requestor.ae_title,
            receiving_ae_title=self._settings.ae_title,
        )
        try:
            if self._spool.free_bytes() - len(data) < self._settings.min_free_bytes:
                return self._refuse_resources(reception, "disk space is below the low mark")
            stored = self._spool.store(data, reception)
        except InvalidInstanceError as error:
            return self._refuse_invalid(event, error)
        except (SpoolWriteError, OSError) as error:
            return self._refuse_resources(reception, str(error))
        self._account(event.assoc, stored)
        return _SUCCESS

    def _account(self, association: Association, stored: StoredInstance) -> None:
        with self._lock:
            self._counts["stored" if stored.new else "duplicates"] += 1
            self._counts["stored_bytes"] += stored.size if stored.new else 0
            studies = self._studies.get(association)
            if studies is not None:
                studies.add(stored.study_instance_uid)
        if self._on_stored is None:
            return
        try:
            self._on_stored(stored)
        except Exception:  # noqa: BLE001  the instance is durable whatever the subscriber does
            _log.exception("instance.callback_failed", sop_instance_uid=stored.sop_instance_uid)

    def _refuse_invalid(self, event: evt.Event, error: InvalidInstanceError) -> Dataset:
        cannot_understand = error.status == 0xC000
        self._count("refused_invalid" if cannot_understand else "refused_mismatch")
        _log.warning(
            "instance.refused",
            status=f"{error.status:04X}",
            reason=error.reason,
            calling_ae_title=event.assoc.requestor.ae_title,
            sop_instance_uid=str(cast("C_STORE", event.request).AffectedSOPInstanceUID),
        )
        return _status(error.status, error.reason)

    def _refuse_resources(self, reception: Reception, reason: str) -> Dataset:
        self._count("refused_resources")
        _log.error(
            "instance.refused",
            status=f"{_OUT_OF_RESOURCES:04X}",
            reason=reason,
            calling_ae_title=reception.calling_ae_title,
            sop_instance_uid=reception.sop_instance_uid,
        )
        return _status(_OUT_OF_RESOURCES, "no space or disk failure, try again later")


def _status(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = comment
    return answer
