"""What receives: one Storage SCP, or processes that share its port."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from listener.lifecycle import Running

if TYPE_CHECKING:
    from listener.settings import ListenerStatistics

PortKind = Literal["plain", "tls"]


class Receiver(Running):
    """Receives while it runs."""

    @property
    def port(self) -> int:
        """The TCP port that is listened on without TLS.

        Raises:
            RuntimeError: not started, or without such a port.
        """
        return self._port_of("plain")

    @property
    def tls_port(self) -> int:
        """The TCP port that is listened on for TLS.

        Raises:
            RuntimeError: not started, or without such a port.
        """
        return self._port_of("tls")

    @property
    @abstractmethod
    def statistics(self) -> ListenerStatistics:
        """What happened until now."""

    @property
    @abstractmethod
    def open_associations(self) -> int:
        """How many associations there are at the moment."""

    @property
    @abstractmethod
    def is_listening(self) -> bool:
        """Whether every port is being listened on."""

    @property
    @abstractmethod
    def is_disk_low(self) -> bool:
        """Whether instances are refused because the disk is low."""

    @abstractmethod
    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is in use or not ours.
            TLSError: the certificates can't be used.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop accepting, let running associations end within the limit, then abort them."""

    def _port_of(self, kind: PortKind) -> int:
        port = self._find_port(kind)
        if port is None:
            raise RuntimeError(f"the Storage SCP has no {kind} port, or is not started")
        return port

    @abstractmethod
    def _find_port(self, kind: PortKind) -> int | None:
        """Return the port that is listened on; None if there is none."""
