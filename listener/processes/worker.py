"""One of several processes that listen on one port: receives, and tells the one that started it.

It is given a socket on which a `Job` comes first. What is stored is told before it is
acknowledged. When the socket is closed the process ends, so none outlives who started it.
"""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import structlog

from listener.errors import ListenerError
from listener.scp.commitment import CommitmentProvider
from listener.scp.scp import StorageSCP
from listener.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pydicom.dataset import Dataset

    from listener.scp.c_find import FindQuery
    from listener.scp.shared_limits import Shared
    from listener.scu.association import Peer
    from listener.scu.commitment import CommitmentReport
    from listener.settings import AssociationEnd, ListenerSettings
    from listener.spool.spool import StoredInstance

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do.

    Attributes:
        root: of the spool, which is open already in the process that gives the job.
        number: which of the workers it is.
        call_back: where peers listen, by our name for them, to be told of storage commitment;
            None: requests for it are refused.
        takes_reports: whether reports about what we asked others are taken.
        findable: as for `StorageSCP`.
        configure: called first, to set up the log.
    """

    settings: ListenerSettings
    root: Path
    number: int
    shared: Shared
    call_back: Mapping[str, Peer] | None
    takes_reports: bool
    findable: Callable[[FindQuery], Iterable[Dataset]] | None
    configure: Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker listens."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker can't listen."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The worker is to end its associations and itself."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Whether a commitment report was noted."""

    success: bool


class _Starter:
    """The process that started this one."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._noted: Noted | None = None
        self._answered = threading.Event()

    def tell(self, message: StoredInstance | AssociationEnd | Ready | Failed) -> None:
        with self._sending:
            self._connection.send(message)

    def note(self, report: CommitmentReport) -> None:
        """Have a report noted, and wait until it is.

        Raises:
            ListenerError: it was not.
        """
        with self._asking:
            self._answered.clear()
            with self._sending:
                self._connection.send(report)
            self._answered.wait()
            if self._noted is None or not self._noted.success:
                raise ListenerError("the report was not noted")

    def listen(self) -> None:
        """Take answers until told to stop, or until the other process has gone."""
        try:
            while isinstance(message := self._connection.recv(), Noted):
                self._noted = message
                self._answered.set()
        except (EOFError, OSError):
            pass
        finally:
            self._noted = None
            self._answered.set()


def main(descriptor: int) -> None:
    """Do the job that comes over a socket, and end the process."""
    status = 1
    try:
        _work(descriptor)
        status = 0
    except Exception:  # noqa: BLE001  said here, since the process ends here
        _log.exception("listener.process_failed")
    finally:
        os._exit(status)  # nothing is left to end; a thread that hangs must not keep the process


def _work(descriptor: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for all: who started us says when
        signal.signal(number, signal.SIG_IGN)
    connection: Connection[Any, Any] = Connection(descriptor)
    job: Job = connection.recv()
    if job.configure is not None:
        job.configure()
    starter = _Starter(connection)
    with Spool(job.root, section=f"process-{job.number}") as spool:
        commitment = (
            None
            if job.call_back is None
            else CommitmentProvider(spool, call_back=dict(job.call_back).get)
        )
        scp = StorageSCP(
            job.settings,
            spool,
            starter.tell,
            on_association_end=starter.tell,
            commitment=commitment,
            on_commitment=starter.note if job.takes_reports else None,
            findable=job.findable,
            shared=job.shared,
            counts=job.shared.counts(job.number),
        )
        try:
            scp.start()
        except (OSError, ListenerError) as error:
            starter.tell(Failed(str(error)))
            return
        starter.tell(Ready())
        starter.listen()
        scp.stop()
