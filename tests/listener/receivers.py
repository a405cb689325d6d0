"""Receivers in processes of their own, to be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Forks a receiver for every line it reads: importing takes longer than a round.
_PROGRAM = """
import os, sys, time
from pathlib import Path
from listener.access import AllowedPeer
from listener.scp import StorageSCP
from listener.settings import ListenerSettings
from listener.spool import Spool

anyone = AllowedPeer("anyone", "")
settings = ListenerSettings(ae_title="NODE", port=0, min_free_bytes=0, anonymous_peer=anyone)
for root in sys.stdin:
    child = os.fork()
    if child == 0:
        with StorageSCP(settings, Spool(Path(root.strip()))) as scp:
            print("RECEIVER", os.getpid(), scp.port, flush=True)
            time.sleep(600)
    os.waitpid(child, 0)
"""


@dataclass(frozen=True)
class Receiver:
    process_id: int
    port: int


class Receivers:
    """Starts one receiver after the other; each must be killed before the next is started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, root: Path) -> Receiver:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(root, file=self._process.stdin, flush=True)
        line = next(line for line in self._process.stdout if line.startswith("RECEIVER"))
        _, process_id, port = line.split()
        return Receiver(int(process_id), int(port))


@contextmanager
def forking() -> Iterator[Receivers]:
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    yield Receivers(process)
    process.communicate(timeout=30)
