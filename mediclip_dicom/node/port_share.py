"""Address of several listener processes: its ports, limits and counts."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from listener import Counts, SharedLimits, claim_port

if TYPE_CHECKING:
    import socket

    from listener import ListenerSettings


@dataclass(frozen=True, slots=True)
class PortShare:
    """Share of one listener process in an address.

    Attributes:
        number: of the process, from 0.
        folder: of the limits and counts that all have in common.
        associations: that all processes together may have.
        port: for connections without TLS; None: there is none.
        tls_port: for connections over TLS; None: there is none.
    """

    number: int
    folder: Path
    associations: int
    port: int | None
    tls_port: int | None

    @property
    def section(self) -> str:
        """The part of the spool's `incoming/` that the process writes to."""
        return f"process-{self.number}"

    @property
    def limits(self) -> SharedLimits:
        """The limits that hold for all processes together."""
        return SharedLimits(self.folder, associations=self.associations)

    @property
    def counts(self) -> Counts:
        """The counts of this process, which go on where an earlier one of its number ended."""
        return self.limits.counts(self.number)

    def applied_to(self, settings: ListenerSettings) -> ListenerSettings:
        """Return the settings of a listener that shares the ports."""
        tls = settings.tls
        if tls is not None and self.tls_port is not None:
            tls = replace(tls, port=self.tls_port)
        return replace(settings, share_port=True, port=self.port, tls=tls)


class SharedAddress:
    """Ports of an address, claimed for listener processes without listening on them.

    Args:
        settings: how the processes are to listen; a port 0 becomes a free one.

    Raises:
        OSError: another process listens there, or the address is not this machine's.
    """

    def __init__(self, settings: ListenerSettings) -> None:
        self._held: list[socket.socket] = []
        self._folder = Path(tempfile.mkdtemp(prefix="mediclip-listener-"))
        self._associations = settings.max_associations
        try:
            self.port = self._claim(settings.host, settings.port)
            self.tls_port = self._claim(
                settings.host, None if settings.tls is None else settings.tls.port
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def share(self, number: int) -> PortShare:
        """Return the share of one process."""
        return PortShare(number, self._folder, self._associations, self.port, self.tls_port)

    def close(self) -> None:
        """Let go of the ports, and remove the limits and counts."""
        while self._held:
            self._held.pop().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _claim(self, host: str, port: int | None) -> int | None:
        if port is None:
            return None
        held = claim_port(host, port)
        self._held.append(held)
        return int(held.getsockname()[1])
