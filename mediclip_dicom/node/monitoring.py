"""HTTP port for monitors: /metrics and /health."""

import json
import socket
import threading
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from listener import Spool
from mediclip_dicom.node.metrics import ListenerStatus, NodeCollector
from mediclip_dicom.settings import MonitoringSettings

_LAST_ANSWERS_S = 5
_METHODS = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the node; the part that fails is False."""

    listening: bool
    database: bool
    disk: bool

    @property
    def is_good(self) -> bool:
        """Whether everything works."""
        return self.listening and self.database and self.disk


class Monitor:
    """HTTP server for monitors, in threads of its own.

    Args:
        settings: Where.
        listener: Asked whether it listens and what it counted; None in a process without one.
        spool: Asked for its space.
        sessions: Asked for queues and deliveries.
    """

    def __init__(
        self,
        settings: MonitoringSettings,
        *,
        listener: ListenerStatus | None,
        spool: Spool,
        sessions: sessionmaker[Session],
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._sessions = sessions
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeCollector(listener, spool, sessions))
        self._running: tuple[uvicorn.Server, threading.Thread, socket.socket] | None = None

    @property
    def health(self) -> Health:
        """Health at this moment."""
        return Health(
            listening=self._listener is None or self._listener.is_listening,
            database=self._is_database_there(),
            disk=self._listener is None or not self._listener.is_disk_low,
        )

    def start(self) -> None:
        """Start to answer, if the configuration names a port.

        Raises:
            OSError: The address is in use or not ours.
        """
        if not self._settings.port:
            return
        # Bound here, so that who starts the node hears what is wrong with the address.
        bound = socket.create_server((self._settings.host, self._settings.port))
        server = uvicorn.Server(
            uvicorn.Config(
                _application(self),
                lifespan="off",
                access_log=False,  # a monitor asks every few seconds
                log_config=None,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
        )
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [bound]}, name="monitoring", daemon=True
        )
        self._running = server, thread, bound
        thread.start()

    def stop(self) -> None:
        """Stop answering."""
        if self._running is not None:
            server, thread, bound = self._running
            server.should_exit = True
            thread.join()
            bound.close()
            self._running = None

    def metrics(self, request: Request) -> Response:
        """Return the metrics in the format of Prometheus that the request accepts."""
        encode, form = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"Content-Type": form})

    def health_check(self) -> Response:
        """Return 200 or 503, with the state of each part."""
        health = self.health
        said = {
            "status": "ok" if health.is_good else "degraded",
            "listening": health.listening,
            "database": health.database,
            "disk": health.disk,
        }
        return Response(
            json.dumps(said) + "\n",
            status_code=200 if health.is_good else 503,
            media_type="application/json",
        )

    def _is_database_there(self) -> bool:
        try:
            with self._sessions() as session:
                session.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True


def _application(monitor: Monitor) -> FastAPI:
    # No page that describes it, and nothing loaded from elsewhere.
    app = FastAPI(openapi_url=None)
    app.add_middleware(GZipMiddleware)
    app.add_api_route("/metrics", monitor.metrics, methods=_METHODS)
    app.add_api_route("/health", monitor.health_check, methods=_METHODS)
    app.add_exception_handler(404, _which_there_are)
    return app


def _which_there_are(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("/metrics or /health\n", status_code=404)
