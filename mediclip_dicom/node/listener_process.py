"""Listener process: one of several that receive on one port.

It reads a job as one line of JSON on standard input and answers with one line of JSON on standard
output: that it listens, or the reason why it can't. The line `stop` ends it in order. The end of
standard input means that the parent is dead: the process ends at once, since it has nobody left to
report to, and everything that it acknowledged is in the spool.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from pydantic import BaseModel, ConfigDict

from listener import ListenerError
from mediclip_dicom.database import open_database
from mediclip_dicom.engine import EngineClient
from mediclip_dicom.errors import NodeError
from mediclip_dicom.node.logs import configure_logging
from mediclip_dicom.node.port_share import PortShare
from mediclip_dicom.node.reception import Reception
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import open_spool

STOP = "stop\n"


class Job(BaseModel):
    """Job of a listener process."""

    model_config = ConfigDict(frozen=True)

    settings: Settings
    share: PortShare


class Answer(BaseModel):
    """Answer to a job: the reason why the process can't listen, or None if it listens."""

    model_config = ConfigDict(frozen=True)

    failure: str | None = None


def main() -> None:
    """Do the job that comes on standard input, and end the process."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to all: the parent says when to stop
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # no library's print may pass for an answer
    job = Job.model_validate_json(sys.stdin.readline())
    configure_logging(job.settings.logging)
    stopping = threading.Event()
    threading.Thread(target=_watch_parent, args=(stopping,), name="parent", daemon=True).start()
    try:
        sessions = open_database(job.settings.database_url)
        spool = open_spool(job.settings, section=job.share.section)
        reception = Reception(
            job.settings, sessions, spool, EngineClient(job.settings), share=job.share
        )
        reception.start()
    except (NodeError, ListenerError, OSError) as error:
        print(Answer(failure=str(error)).model_dump_json(), file=answers, flush=True)
        os._exit(1)
    print(Answer().model_dump_json(), file=answers, flush=True)
    stopping.wait()
    reception.stop()
    os._exit(0)  # a thread that hangs must not keep the process


def _watch_parent(stopping: threading.Event) -> None:
    while line := sys.stdin.readline():
        if line == STOP:
            stopping.set()
    os._exit(1)


if __name__ == "__main__":
    main()
