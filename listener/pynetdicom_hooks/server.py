"""Server that handles each connection in a thread of its own from its first byte."""

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
    """Limit of connections, so that a flood of them costs only a few threads.

    Args:
        total: connections at the same time.
        unestablished_per_address: connections of one address without an association yet.
    """

    def __init__(self, *, total: int, unestablished_per_address: int) -> None:
        self._total = total
        self._per_address = unestablished_per_address
        self._lock = threading.Lock()
        self._opening: Counter[str] = Counter()
        self._associations: list[tuple[str, Association]] = []

    def admit(self, address: str) -> bool:
        """Count one more connection as opening; return False if there are too many."""
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
        """Count an opening connection as an association; None if it did not become one."""
        with self._lock:
            self._opening[address] -= 1
            if self._opening[address] <= 0:
                del self._opening[address]
            if association is not None:
                self._associations.append((address, association))


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of all listening sockets.

    Attributes:
        gate: limits connections.
        max_pdu: largest PDU in bytes.
        pdu_timeout_s: limit of one PDU in seconds.
        service: receives the C-STORE requests.
        share_port: True if other processes listen on the same port.
        on_dropped: called with the counter's name when a connection is dropped.
    """

    gate: ConnectionGate
    max_pdu: int
    pdu_timeout_s: float
    service: StoreService
    share_port: bool
    on_dropped: Callable[[str], None]


class ConnectionHandler(RequestHandler):
    """Request handler that makes an association of a connection, with limits of its PDUs."""

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
    """Listening socket, with or without TLS.

    Args:
        args: arguments of pynetdicom's server.
        options: of all listening sockets.
        tls: for handshakes in the connection's own thread; None: no TLS.
        listen_on: keyword arguments of pynetdicom's server.
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
        """Bind the socket; other processes may bind the same port if it is shared."""
        if self.options.share_port:
            # The annotation allows None, but the socket exists by now.
            cast("socket.socket", self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection, without Nagle's delay and with keep-alive."""
        client, address = super().get_request()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        """Check the limit of connections; too many are closed at once."""
        if self.options.gate.admit(client_address[0]):
            return True
        self.options.on_dropped("connections_closed")
        log.warning(
            "connection.refused",
            address=client_address[0],
            reason="too many connections, of this address or of all",
        )
        return False

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the TLS handshake if there is one, then start the association."""
        association: Association | None = None
        try:
            request.settimeout(self.options.pdu_timeout_s)
            if self._tls is not None:
                request = self._tls.accept(request)
            association = ConnectionHandler(request, client_address, self).association
        except TLSError as error:
            self.options.on_dropped("tls_failures")
            log.warning("handshake.failed", reason=str(error), address=client_address[0])
        except Exception:  # an error of one connection must not stop the others
            log.exception("connection.failed", address=client_address[0])
            self.shutdown_request(request)
        finally:
            self.options.gate.opened(client_address[0], association)

    def stop_accepting(self) -> None:
        """End `serve_forever` and close the listening socket; associations go on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()
