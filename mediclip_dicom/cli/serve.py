"""`mediclip-dicom serve`."""

import os
import signal
import sys
import threading
from collections.abc import Collection

import structlog

from mediclip_dicom.node import ALL_ROLES, Node, Role
from mediclip_dicom.settings import Settings

log = structlog.get_logger()


def run_node(settings: Settings, roles: Collection[Role] = ALL_ROLES) -> None:
    """Run until SIGINT or SIGTERM."""
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
