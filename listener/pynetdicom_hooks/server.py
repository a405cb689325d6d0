"""Accepts connections, each in a thread of its own from the first byte on."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import structlog
from pynetdicom.transport import RequestHandler, ThreadedAssociationServer

from listener.errors import TLSError
from listener.pynetdicom_hooks.dimse import DIMSEProvider
from listener.pynetdicom_hooks.reactor import Reactor
from listener.pynetdicom_hooks.socket import PDUSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from pynetdicom.association import Association

    from listener.pynetdicom_hooks.c_store_messages import StoreService
    from listener.tls import ServerTLS

log = structlog.get_logger()
_WAIT_S = 0.05


class ConnectionGate:
    """Counts connections, so that a flood of them costs no more than a few threads.

    Args:
        total: connections at one time.
        unestablished_per_address: connections from one address that have no association yet.
    """

    def __init__(self, *, total: int, unestablished_per_address: int) -> None:
        self._total = total
        self._per_address = unestablished_per_address
        self._lock = threading.Lock()
        self._opening: Counter[str] = Counter()
        self._associations: list[tuple[str, Association]] = []

    def admit(self, address: str) -> bool:
        """Whether one more connection may come; if so it counts as opening."""
        with self._lock:
            self._associations = [
                (known, association)
                for known, association in self._associations
                if association.ident is None or association.is_alive()
            ]
            if len(self._associations) + self._opening.total() >= self._total:
                return False
            waiting = self._opening[address] + sum(
                known == address and not association.is_established
                for known, association in self._associations
            )
            if waiting >= self._per_address:
                return False
            self._opening[address] += 1
            return True

    def opened(self, address: str, association: Association | None) -> None:
        """An opening connection has become an association, or nothing."""
        with self._lock:
            self._opening[address] -= 1
            if self._opening[address] <= 0:
                del self._opening[address]
            if association is not None:
                self._associations.append((address, association))


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the listening sockets share.

    Attributes:
        gate: counts connections.
        max_pdu: bytes of a PDU that is taken.
        pdu_timeout_s: seconds that a PDU may take.
        service: takes the C-STORE requests.
        share_port: other processes listen there too.
        on_dropped: called with a counter's name when a connection comes to nothing.
    """

    gate: ConnectionGate
    max_pdu: int
    pdu_timeout_s: float
    service: StoreService
    share_port: bool
    on_dropped: Callable[[str], None]


class ConnectionHandler(RequestHandler):
    """Makes an association of a connection, with bounds on what the peer can send."""

    association: Association | None = None

    def _create_association(self) -> Association:
        association = super()._create_association()
        options = cast("AssociationServer", self.server).options
        association.dul = Reactor(association, options.service)
        association.acse_timeout = self.ae.acse_timeout  # which sets the new reactor's timers
        association.network_timeout = self.ae.network_timeout
        association.dul.socket = PDUSocket(
            association,
            self.request,
            max_pdu=options.max_pdu,
            pdu_timeout_s=options.pdu_timeout_s,
        )
        association.dimse = DIMSEProvider(association, wait_s=_WAIT_S)
        self.association = association
        return association


class AssociationServer(ThreadedAssociationServer):
    """A listening socket, with or without TLS.

    Args:
        options: shared with the other listening sockets.
        tls: shakes hands in the connection's own thread; None: no TLS.
        listen_on: the library's own arguments, given by it.
    """

    request_queue_size = 128
    daemon_threads = True

    def __init__(
        self, *args: Any, options: ServerOptions, tls: ServerTLS | None, **listen_on: Any
    ) -> None:
        self.options = options
        self._tls = tls
        super().__init__(*args, **{**listen_on, "request_handler": ConnectionHandler})

    def server_bind(self) -> None:
        """Bind, beside other processes where they share the port."""
        if self.options.share_port:
            # The library's annotation says that there may be no socket; by now there is.
            cast("socket.socket", self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept, without Nagle's delay, and notice in the end when the other side has gone."""
        client, address = super().get_request()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Close at once what is too much."""
        if self.options.gate.admit(client_address[0]):
            return True
        self.options.on_dropped("connections_closed")
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands if need be, then begin the association."""
        association: Association | None = None
        try:
            request.settimeout(self.options.pdu_timeout_s)
            if self._tls is not None:
                request = self._tls.accept(request)
            association = ConnectionHandler(request, client_address, self).association
        except TLSError as error:
            self.options.on_dropped("tls_failures")
            log.warning("tls.refused", reason=str(error), address=client_address[0])
        except Exception:
            log.exception("connection.failed", address=client_address[0])
            self.shutdown_request(request)
        finally:
            self.options.gate.opened(client_address[0], association)

    def stop_accepting(self) -> None:
        """End `serve_forever` and close the listening socket; associations live on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()
