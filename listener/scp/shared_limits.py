"""Limits, rates and counters of several processes that listen on one port.

One folder holds them; it is made when the processes are started. Locks are the kernel's and end
with their holder, so a process that dies keeps no slot.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from listener.scp.rate_limit import SharedRateLimit
from listener.statistics import COUNTS_SIZE, Counts, total

if TYPE_CHECKING:
    from pathlib import Path

    from listener.statistics import ListenerStatistics

_ALL = "all"
_COUNTS = "counts-"


@dataclass(slots=True)
class SlotLease:
    """Slots of one association, until it releases them or its process ends.

    Example:
        >>> limits = SharedLimits(tmp_path, associations=1)
        >>> first, second = SlotLease(), SlotLease()
        >>> limits.acquire(first), limits.acquire(second)
        (True, False)
        >>> first.release()
        >>> limits.acquire(second)
        True
    """

    _descriptors: list[int] = field(default_factory=list)

    def add(self, descriptor: int) -> None:
        """Hold one more slot.

        Args:
            descriptor: of an open lock file; it is closed at the release.
        """
        self._descriptors.append(descriptor)

    def release(self) -> None:
        """Free every slot that is held."""
        while self._descriptors:
            os.close(self._descriptors.pop())


@dataclass(frozen=True, slots=True)
class SharedLimits:
    """Limits and counters that hold for all processes on one port together.

    Each process makes its own object of the same folder.

    Attributes:
        folder: must exist, and must be new at every start of all processes.
        associations: limit of all processes together.

    Example:
        Two Storage SCPs in one process; usually each has a process of its own:

        >>> from contextlib import ExitStack
        >>> limits = SharedLimits(tmp_path, associations=100)
        >>> anyone = AllowedPeer("any", "")
        >>> with Spool(tmp_path / "spool") as spool, claim_port("127.0.0.1", 0) as claimed:
        ...     port = claimed.getsockname()[1]
        ...     settings = ListenerSettings(
        ...         "NODE", port=port, share_port=True, anonymous_peer=anyone
        ...     )
        ...     with ExitStack() as stack:
        ...         for number in range(2):
        ...             counts = limits.counts(number)
        ...             scp = StorageSCP(settings, spool, shared=limits, counts=counts)
        ...             _ = stack.enter_context(scp)
        ...         for _ in range(5):
        ...             seconds = echo(Peer("NODE", "127.0.0.1", port)).round_trip_s
        >>> limits.statistics.echoes
        5
    """

    folder: Path
    associations: int

    @property
    def statistics(self) -> ListenerStatistics:
        """Counts of all processes together, those that ended included."""
        return total([counts.statistics() for counts in self._all_counts()])

    @property
    def open_associations(self) -> int:
        """Associations of all processes at the moment."""
        return sum(counts.open_associations for counts in self._all_counts())

    def acquire(self, lease: SlotLease) -> bool:
        """Take one slot of all associations; False if none is free."""
        return self._acquire(_ALL, self.associations, lease)

    def acquire_for_peer(self, peer: str, limit: int, lease: SlotLease) -> bool:
        """Take one slot of a peer; False if none is free."""
        return self._acquire(f"peer-{peer}", limit, lease)

    def rate_limit(self, peer: str, per_s: float) -> SharedRateLimit:
        """Return the rate limit of a peer over all processes."""
        return SharedRateLimit(self.folder / f"rate-{peer}", per_s)

    def counts(self, number: int) -> Counts:
        """Return the counters of one process.

        A process that replaces an ended one goes on with its counters if it has its number.

        Args:
            number: of the process, from 0.
        """
        path = self.folder / f"{_COUNTS}{number}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, COUNTS_SIZE)
            return Counts(mmap.mmap(descriptor, COUNTS_SIZE))
        finally:
            os.close(descriptor)

    def _all_counts(self) -> list[Counts]:
        numbers = [path.name.removeprefix(_COUNTS) for path in self.folder.glob(f"{_COUNTS}*")]
        return [self.counts(int(number)) for number in numbers] or [Counts()]

    def _acquire(self, name: str, limit: int, lease: SlotLease) -> bool:
        for number in range(limit):
            path = self.folder / f"{name}-{number}.lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                lease.add(descriptor)
                return True
        return False


def claim_port(host: str, port: int) -> socket.socket:
    """Reserve a port for processes that will share it, without listening on it.

    Call it before they start and keep the socket open while they run: the port is known then
    (0 lets the operating system choose one) and no other program can take it.

    Args:
        host: address to listen on.
        port: TCP port; 0 for any.

    Returns:
        A bound socket; `getsockname()[1]` is the port. Each process listens with
        `ListenerSettings(port=..., share_port=True)`.

    Raises:
        OSError: the address is not ours, or another program uses the port.

    Example:
        >>> with claim_port("127.0.0.1", 0) as claimed:
        ...     claimed.getsockname()[1] > 0
        True
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as alone:  # fails if the port is used, shared or not
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind((host, port))
    claimed = socket.socket(family)
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        try:
            claimed.bind((host, port))
        except OSError:  # connections of an earlier run still linger (TIME_WAIT)
            claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            claimed.bind((host, port))
    except OSError:
        claimed.close()
        raise
    return claimed
