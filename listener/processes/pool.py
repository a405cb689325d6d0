"""Several processes that listen on the same ports into one spool (SO_REUSEPORT).

One Python process uses one core however many senders there are. Here the kernel spreads the
connections over workers; limits, rates and counts hold for all of them together. A worker that
dies is started again, and costs its own associations only: nothing that it had not acknowledged
counts as received, all that it had is in the spool and was told to this process.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from listener.processes.supervisor import Supervised
from listener.processes.worker import Job, Noted
from listener.scp.receiver import PortKind, Receiver
from listener.scp.shared_limits import Shared
from listener.scu.commitment import CommitmentReport
from listener.settings import AssociationEnd, Counts, total
from listener.spool.disk import LowDiskMark
from listener.spool.spool import StoredInstance
from listener.tls import ServerTLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydicom.dataset import Dataset

    from listener.scp.c_find import FindQuery
    from listener.scu.association import Peer
    from listener.settings import ListenerSettings, ListenerStatistics
    from listener.spool.spool import Spool

_log = structlog.get_logger()
_GRACE_S = 10.0


class ListenerProcesses(Receiver):
    """A Storage SCP in several processes; like `StorageSCP` to its owner.

    Args:
        settings: how to listen; limits are for all processes together, but for
            `max_unestablished`, which each has.
        spool: open in this process; each worker opens it for itself.
        processes: how many.
        on_stored: as for `StorageSCP`, but called soon after the acknowledgement at times; never
            lost while this process lives.
        on_association_end: likewise.
        call_back: where peers listen, by our name for them; None: commitment is refused.
        on_commitment: called with what a peer reports of what we asked it.
        findable: as for `StorageSCP`; each worker is sent a copy.
        configure: called first in each worker, to set up its log; must be importable there.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        processes: int,
        on_stored: Callable[[StoredInstance], None] | None = None,
        *,
        on_association_end: Callable[[AssociationEnd], None] | None = None,
        call_back: Mapping[str, Peer] | None = None,
        on_commitment: Callable[[CommitmentReport], None] | None = None,
        findable: Callable[[FindQuery], Iterable[Dataset]] | None = None,
        configure: Callable[[], None] | None = None,
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._number = processes
        self._on_stored = on_stored
        self._on_association_end = on_association_end
        self._on_commitment = on_commitment
        self._call_back = call_back
        self._findable = findable
        self._configure = configure
        self._mark = LowDiskMark(
            spool.space,
            min_free_bytes=settings.min_free_bytes,
            min_free_percent=settings.min_free_percent,
        )
        self._folder: Path | None = None
        self._ports: dict[str, socket.socket] = {}
        self._counts: list[Counts] = []
        self._workers: list[Supervised] = []

    @property
    def statistics(self) -> ListenerStatistics:
        """What happened until now in all processes, those that died included."""
        return total([counts.statistics() for counts in self._counts] or [Counts().statistics()])

    @property
    def open_associations(self) -> int:
        """How many associations there are at the moment."""
        return sum(counts.open_associations for counts in self._counts)

    @property
    def is_listening(self) -> bool:
        """Whether every process listens."""
        return bool(self._workers) and all(worker.is_listening for worker in self._workers)

    @property
    def is_disk_low(self) -> bool:
        """Whether instances are refused because the disk is low."""
        return self._mark.is_low

    @property
    def process_ids(self) -> list[int]:
        """The processes that receive at the moment."""
        return [worker.process_id for worker in self._workers if worker.is_listening]

    def start(self) -> None:
        """Listen; returns when every process does.

        Raises:
            OSError: the address is in use or not ours, or a process can't listen.
            TLSError: the certificates can't be used.
        """
        if self._workers:
            return
        try:
            settings = self._claim_ports()
            self._folder = Path(tempfile.mkdtemp(prefix="listener-"))
            shared = Shared(self._folder, associations=settings.max_associations)
            self._counts = [shared.counts(number) for number in range(self._number)]
            for number, counts in enumerate(self._counts):
                job = Job(
                    settings=settings,
                    root=self._spool.root,
                    number=number,
                    shared=shared,
                    call_back=self._call_back,
                    takes_reports=self._on_commitment is not None,
                    findable=self._findable,
                    configure=self._configure,
                )
                self._workers.append(Supervised(job, counts, self._take))
            for worker in self._workers:
                worker.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop accepting, let running associations end within the limit, then abort them.

        All that was stored has been told when this returns.
        """
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            worker.join(self._settings.stop_timeout_s + _GRACE_S)
        for held in self._ports.values():
            held.close()
        self._ports = {}
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _find_port(self, kind: PortKind) -> int | None:
        held = self._ports.get(kind)
        return None if held is None else int(held.getsockname()[1])

    def _claim_ports(self) -> ListenerSettings:
        """Hold the ports, so that they are known and stay ours; return settings that name them."""
        settings = replace(self._settings, share_port=True)
        if settings.port is not None:
            self._ports["plain"] = _claimed(settings.host, settings.port)
            settings = replace(settings, port=self.port)
        if settings.tls is not None:
            ServerTLS(settings.tls.files)  # says what is wrong before a process meets it
            self._ports["tls"] = _claimed(settings.host, settings.tls.port)
            settings = replace(settings, tls=replace(settings.tls, port=self.tls_port))
        return settings

    def _take(self, message: object) -> Noted | None:
        """Pass on what a worker tells; return the answer where it waits for one."""
        try:
            match message:
                case StoredInstance() if self._on_stored is not None:
                    self._on_stored(message)
                case AssociationEnd() if self._on_association_end is not None:
                    self._on_association_end(message)
                case CommitmentReport() if self._on_commitment is not None:
                    self._on_commitment(message)
        except Exception:  # noqa: BLE001  a subscriber's failure is not the sender's
            _log.exception("listener.callback_failed")
            return Noted(success=False)
        return Noted(success=True)


def _claimed(host: str, port: int) -> socket.socket:
    """Hold a port for the workers without listening on it.

    Raises:
        OSError: someone else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind((host, port))
    held = socket.socket(family)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held
