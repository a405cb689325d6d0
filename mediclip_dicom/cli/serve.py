"""`mediclip-dicom serve`: the node, until it is told to stop."""

import os
import signal
import sys
import threading
from enum import StrEnum
from typing import Annotated

import structlog
import typer

from mediclip_dicom.cli.context import settings_of

log = structlog.get_logger()


class RoleOption(StrEnum):
    """The parts of the node that `--role` names; `node.Role` without its imports."""

    LISTENER = "listener"
    WORKER = "worker"
    MAINTENANCE = "maintenance"


def serve(
    context: typer.Context,
    role: Annotated[
        list[RoleOption] | None,
        typer.Option(
            help="Start only this part of the node; repeat for several. listener receives studies, "
            "worker analyses and delivers them, maintenance removes what has been kept long "
            "enough. By default all run in this process."
        ),
    ] = None,
) -> None:
    """Start the node and run until it is told to stop (Ctrl-C or SIGTERM).

    Studies that were received but not answered when the node last stopped are taken up first.

    Example: `mediclip-dicom serve --role listener` beside `mediclip-dicom serve --role worker
    --role maintenance`, on the same configuration.
    """
    from mediclip_dicom.node import ALL_ROLES, Node, Role

    settings = settings_of(context)
    roles = [Role(name.value) for name in role] if role else ALL_ROLES
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    if Role.LISTENER in roles and not settings.peers and not settings.node.open:
        log.warning("node.closed", advice="no peer may send; name them in [[peers]]")
    if Role.WORKER in roles and not settings.destinations:
        log.warning(
            "node.no_destination", advice="results stay on disk; add a [[destinations]] block"
        )
    with Node(settings, roles=roles):
        told_to_stop.wait()
    sys.stdout.flush()
    sys.stderr.flush()
    # A step may wait for a destination that does not answer, and the interpreter would wait for its
    # thread. It is safe to leave: the step is repeated at the next start.
    os._exit(0)
