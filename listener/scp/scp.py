"""Storage SCP: the Application Entity that receives instances into the spool."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog
from pydicom.uid import UID
from pynetdicom import AE, evt

from listener.access import AccessPolicy
from listener.contexts import supported_contexts
from listener.lifecycle import Lifecycle
from listener.pynetdicom_hooks import (
    AssociationServer,
    ConnectionGate,
    ServerOptions,
    configure_libraries,
    escaped,
    note_end,
    titles_of_request,
)
from listener.scp.admission import AssociationAdmission
from listener.scp.associations import Associations
from listener.scp.c_find import FindProvider
from listener.scp.c_store import SUCCESS, StoreProvider
from listener.scp.commitment import CommitmentMessages
from listener.spool import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, LowDiskMark
from listener.statistics import Counts
from listener.tls import ServerTLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydicom.dataset import Dataset

    from listener.scp.associations import AssociationEnd
    from listener.scp.c_find import FindQuery
    from listener.scp.commitment import CommitmentProvider
    from listener.scp.shared_limits import SharedLimits
    from listener.scu import CommitmentReport
    from listener.settings import ListenerSettings
    from listener.spool import Spool, StoreReceipt
    from listener.statistics import ListenerStatistics

log = structlog.get_logger()

_POLL_S = 0.02
_PortKind = Literal["plain", "tls"]


class StorageSCP(Lifecycle):
    """SCP of Verification, Storage, Storage Commitment and C-FIND, in front of a spool.

    Args:
        settings: port, peers and limits.
        spool: makes received instances durable before they are acknowledged.
        on_stored: called after an instance is durable and before it is acknowledged, from many
            threads; it must not block (see `Arrivals`). An error in it is logged, the sender gets
            its answer.
        on_association_end: called when an accepted association has ended; likewise.
        commitment: answers requests for storage commitment; None refuses them.
        on_commitment: called with each report on a request of ours; an error in it is answered as a
            processing failure, so that the peer repeats the report. None refuses reports.
        findable: returns the headers of the instances that may match a query; None refuses queries.
        shared: limits of all processes on the same port; None if there is one process.
        counts: counters; None for own ones.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> settings = ListenerSettings("NODE", port=0, anonymous_peer=AllowedPeer("any", ""))
        >>> with Spool(tmp_path) as spool, StorageSCP(settings, spool) as scp:
        ...     path = Path(get_testdata_file("CT_small.dcm", download=False))
        ...     (outcome,) = store(Peer("NODE", "127.0.0.1", scp.port), [path])
        ...     (study,) = spool.studies()
        >>> outcome.status, study
        (0, '1.3.6.1.4.1.5962.1.2.1.20040119072730.12322')
    """

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        on_stored: Callable[[StoreReceipt], None] | None = None,
        *,
        on_association_end: Callable[[AssociationEnd], None] | None = None,
        commitment: CommitmentProvider | None = None,
        on_commitment: Callable[[CommitmentReport], None] | None = None,
        findable: Callable[[FindQuery], Iterable[Dataset]] | None = None,
        shared: SharedLimits | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._settings = settings
        self._counts = counts or Counts()
        self._counts.open_associations = 0  # a process of the same number may have been killed
        self._associations = Associations(shared, self._count_open)
        self._mark = LowDiskMark(
            spool.space,
            min_free_bytes=settings.min_free_bytes,
            min_free_percent=settings.min_free_percent,
        )
        self._store = StoreProvider(
            spool,
            ae_title=settings.ae_title,
            mark=self._mark,
            associations=self._associations,
            counts=self._counts,
            on_stored=on_stored,
        )
        self._admission = AssociationAdmission(
            AccessPolicy(settings.ae_title, settings.peers, settings.anonymous_peer),
            associations=self._associations,
            mark=self._mark,
            counts=self._counts,
            on_end=on_association_end,
        )
        self._commitment = CommitmentMessages(
            commitment, on_commitment, associations=self._associations, counts=self._counts
        )
        self._find = FindProvider(findable, associations=self._associations, counts=self._counts)
        self._ae = self._make_ae()
        self._servers: dict[str, tuple[AssociationServer, threading.Thread]] = {}

    @property
    def port(self) -> int:
        """TCP port without TLS.

        Raises:
            RuntimeError: not started, or without such a port.
        """
        return self._port_of("plain")

    @property
    def tls_port(self) -> int:
        """TCP port with TLS.

        Raises:
            RuntimeError: not started, or without such a port.
        """
        return self._port_of("tls")

    @property
    def statistics(self) -> ListenerStatistics:
        """Counts until now."""
        return self._counts.statistics()

    @property
    def open_associations(self) -> int:
        """Number of associations at the moment."""
        return len(self._associations)

    @property
    def is_listening(self) -> bool:
        """Whether every port of the settings is open."""
        servers = list(self._servers.values())
        return bool(servers) and all(thread.is_alive() for _, thread in servers)

    @property
    def is_disk_low(self) -> bool:
        """Whether instances are refused because the disk is low."""
        return self._mark.is_low

    def start(self) -> None:
        """Open the ports.

        Raises:
            OSError: the address is in use or not ours; no port is open then.
            TLSError: the certificates can't be used.
        """
        if self._servers:
            return
        configure_libraries()
        settings = self._settings
        options = ServerOptions(
            gate=ConnectionGate(
                total=2 * settings.max_associations,  # room for some that are rejected as too many
                unestablished_per_address=settings.max_unestablished,
            ),
            max_pdu=settings.max_pdu,
            pdu_timeout_s=settings.network_timeout_s,
            service=self._store,
            share_port=settings.share_port,
            on_dropped=self._counts.add,
        )
        try:
            if settings.port is not None:
                self._listen("plain", settings.port, options, tls=None)
            if settings.tls is not None:
                tls = ServerTLS(
                    settings.tls.files, handshake_timeout_s=settings.tls.handshake_timeout_s
                )
                self._listen("tls", settings.tls.port, options, tls=tls)
        except BaseException:
            self.stop()
            raise
        if settings.anonymous_peer is not None:
            log.warning(
                "listener.opened_to_all",
                hint="every caller is accepted; name the peers that may associate",
            )

    def stop(self) -> None:
        """Close the ports, let associations end within `stop_timeout_s`, then abort the others."""
        servers, self._servers = list(self._servers.values()), {}
        for server, thread in servers:
            server.stop_accepting()
            thread.join()
        deadline = time.monotonic() + self._settings.stop_timeout_s
        for server, _ in servers:
            while server.active_associations and time.monotonic() < deadline:
                time.sleep(_POLL_S)
            for association in server.active_associations:
                title = escaped(titles_of_request(association).calling)
                log.warning("association.timed_out", calling_ae_title=title)
                note_end(association, "the node stops")
                association.abort()
        if servers:
            log.info("listener.stopped", ae_title=self._settings.ae_title)

    def _port_of(self, kind: _PortKind) -> int:
        if kind not in self._servers:
            raise RuntimeError(f"the Storage SCP has no {kind} port, or is not started")
        server, _ = self._servers[kind]
        return int(server.server_address[1])

    def _listen(
        self, kind: _PortKind, port: int, options: ServerOptions, *, tls: ServerTLS | None
    ) -> None:
        server = self._ae.make_server(
            (self._settings.host, port),
            server_class=AssociationServer,
            evt_handlers=self._handlers(),
            options=options,
            tls=tls,
        )
        thread = threading.Thread(
            target=server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name=f"storage-scp-{kind}",
            daemon=True,
        )
        self._servers[kind] = (cast("AssociationServer", server), thread)
        thread.start()
        log.info(
            "listener.started",
            ae_title=self._settings.ae_title,
            port=self._port_of(kind),
            kind=kind,
        )

    def _make_ae(self) -> AE:
        settings = self._settings
        ae = AE(settings.ae_title)
        ae.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.supported_contexts = supported_contexts(frozenset())
        ae.maximum_pdu_size = settings.max_pdu
        ae.maximum_associations = settings.max_associations
        ae.acse_timeout = settings.acse_timeout_s
        ae.dimse_timeout = settings.dimse_timeout_s
        ae.network_timeout = settings.network_timeout_s
        return ae

    def _handlers(self) -> list[Any]:
        return [
            (evt.EVT_REQUESTED, self._admission.on_requested),
            (evt.EVT_ESTABLISHED, self._admission.on_established),
            (evt.EVT_REJECTED, self._admission.on_rejected),
            (evt.EVT_RELEASED, self._admission.on_released),
            (evt.EVT_ABORTED, self._admission.on_aborted),
            (evt.EVT_CONN_CLOSE, self._admission.on_closed),
            (evt.EVT_C_ECHO, self._on_c_echo),
            (evt.EVT_C_FIND, self._find.handle),
            (evt.EVT_N_ACTION, self._commitment.on_action),
            (evt.EVT_N_EVENT_REPORT, self._commitment.on_event_report),
        ]

    def _count_open(self, number: int) -> None:
        self._counts.open_associations = number

    def _on_c_echo(self, _event: evt.Event) -> int:
        self._counts.add("echoes")
        return SUCCESS
