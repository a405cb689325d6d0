"""`mediclip-dicom serve`."""

import os
import signal
import sys
import threading

import structlog

from mediclip_dicom.node.node import Node
from mediclip_dicom.settings import Settings

log = structlog.get_logger()


def run_node(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM."""
    told_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told_to_stop.set())
    if not settings.peers and not settings.node.open:
        log.warning("closed to everyone", advice="name the peers that may send in [[peers]]")
    if not settings.destinations:
        log.warning("no destination", advice="results stay on disk; add a [[destinations]] block")
    with Node(settings):
        told_to_stop.wait()
    sys.stdout.flush()
    sys.stderr.flush()
    # A step may wait for a destination that does not answer, and the interpreter would wait for its
    # thread. It is safe to leave: the step is repeated at the next start.
    os._exit(0)
