"""The HTTP port that a monitor polls: /metrics and /health."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from listener import Receiver, Spool
from mediclip_dicom.config import MonitoringSettings
from mediclip_dicom.metrics import NodeCollector

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the node does its work; a False says what to look at."""

    listening: bool
    database: bool
    disk: bool

    @property
    def is_good(self) -> bool:
        """Whether everything works."""
        return self.listening and self.database and self.disk


class Monitor:
    """Answers monitors in threads of its own.

    Args:
        settings: Where.
        scp: Asked whether it listens and what it counted.
        spool: Asked for its space.
        sessions: Asked for queues and deliveries.
    """

    def __init__(
        self,
        settings: MonitoringSettings,
        *,
        scp: Receiver,
        spool: Spool,
        sessions: sessionmaker[Session],
    ) -> None:
        self._settings = settings
        self._scp = scp
        self._sessions = sessions
        registry = CollectorRegistry(auto_describe=False)
        registry.register(NodeCollector(scp, spool, sessions))
        self._metrics: Application = make_wsgi_app(registry)
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def health(self) -> Health:
        """How the node is now."""
        return Health(
            listening=self._scp.is_listening,
            database=self._is_database_there(),
            disk=not self._scp.is_disk_low,
        )

    def start(self) -> None:
        """Answer from now on, if the configuration names a port.

        Raises:
            OSError: The address is in use or not ours.
        """
        if not self._settings.port:
            return
        self._server = make_server(
            self._settings.host,
            self._settings.port,
            self._answer,
            server_class=_Server,
            handler_class=_Quiet,
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="monitoring", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None

    def _answer(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        match environment["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environment, start)
            case "/health":
                health = self.health
                status = "200 OK" if health.is_good else "503 Service Unavailable"
                start(status, [("Content-Type", "application/json")])
                said = {
                    "status": "ok" if health.is_good else "degraded",
                    "listening": health.listening,
                    "database": health.database,
                    "disk": health.disk,
                }
                return [json.dumps(said).encode() + b"\n"]
            case _:
                start("404 Not Found", [("Content-Type", "text/plain")])
                return [b"/metrics or /health\n"]

    def _is_database_there(self) -> bool:
        try:
            with self._sessions() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, *_: Any) -> None:
        """Say nothing: a monitor asks every few seconds."""
