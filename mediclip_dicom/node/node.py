"""Node: its roles, started and stopped in an order that loses nothing."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog

from listener import Lifecycle
from mediclip_dicom.database import open_database
from mediclip_dicom.errors import NodeStartError
from mediclip_dicom.node.listener_role import ListenerRole
from mediclip_dicom.node.maintenance_role import MaintenanceRole
from mediclip_dicom.node.monitoring import Monitor
from mediclip_dicom.node.roles import ALL_ROLES, Role, RoleHold
from mediclip_dicom.studies import open_spool

if TYPE_CHECKING:
    from ai_core import Backbone
    from mediclip_dicom.settings import Settings

log = structlog.get_logger()


class Node(Lifecycle):
    """Roles that run in this process; each opens only the things that it needs.

    The listener starts last and stops first: nothing is received before everything behind it runs.

    Args:
        settings: the configuration.
        roles: the roles of this process.
        backbone: one that is loaded already, for the worker; None loads the configuration's.

    Raises:
        NodeStartError: another process holds one of the roles on the same storage.
        NodeError: the database or a task can't be used.
        ai_core.DetectorError: the backbone can't be had.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        roles: Collection[Role] = ALL_ROLES,
        backbone: Backbone | None = None,
    ) -> None:
        self._settings = settings
        self._holds = ExitStack()
        self._listener: ListenerRole | None = None
        self._roles: list[Lifecycle] = []
        try:
            holds = {role: self._hold(role) for role in ALL_ROLES if role in roles}
            sessions = open_database(settings.database_url)
            if Role.WORKER in holds:
                from mediclip_dicom.node.worker_role import WorkerRole  # brings torch with it

                self._roles.append(
                    WorkerRole(settings, sessions, holds[Role.WORKER], backbone=backbone)
                )
            if Role.MAINTENANCE in holds:
                self._roles.append(MaintenanceRole(settings, sessions))
            if Role.LISTENER in holds:
                self._listener = ListenerRole(settings, sessions)
                self._roles.append(self._listener)
            self._spool = open_spool(settings)
            self._monitor = Monitor(
                settings.monitoring,
                listener=None if self._listener is None else self._listener.status,
                spool=self._spool,
                sessions=sessions,
            )
        except BaseException:
            self._holds.close()
            raise

    @property
    def port(self) -> int:
        """The TCP port that the node listens on; the one for TLS where there is no other.

        Raises:
            RuntimeError: the node does not listen.
        """
        status = None if self._listener is None else self._listener.status
        port = None
        if status is not None:
            port = status.tls_port if self._settings.tls.only else status.port
        if port is None:
            raise RuntimeError("the node does not listen")
        return port

    def start(self) -> None:
        """Start the roles of this process.

        Raises:
            NodeError: the workflow database or a port can't be used; nothing is left running.
        """
        try:
            for role in self._roles:
                role.start()
            self._open_monitor()
        except BaseException:
            self.stop()
            raise
        node = self._settings.node
        address = {} if self._listener is None else {"host": node.host, "port": self.port}
        log.info("node.started", ae_title=node.ae_title, **address)

    def stop(self) -> None:
        """Stop listening, report what has arrived, then stop the workflows."""
        self._monitor.stop()
        for role in reversed(self._roles):
            role.stop()
        self._spool.close()
        self._holds.close()
        log.info("node.stopped")

    def _hold(self, role: Role) -> RoleHold:
        hold = RoleHold(self._settings.storage.root, role)
        self._holds.callback(hold.release)
        return hold

    def _open_monitor(self) -> None:
        monitoring = self._settings.monitoring
        try:
            self._monitor.start()
        except OSError as error:
            raise NodeStartError(
                f"can't listen at {monitoring.host}:{monitoring.port}: {error.strerror or error}; "
                "see [monitoring] host and port"
            ) from error
