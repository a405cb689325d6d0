"""Receivers in processes of their own, to be killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
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
settings = ListenerSettings(ae_title="NODE", port=0, min_free_bytes=0, stranger=anyone)
for root in sys.stdin:
    child = os.fork()
    if child == 0:
        said = lambda _: print("STORED", flush=True)
        with StorageSCP(settings, Spool(Path(root.strip())), said) as scp:
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
    def killing(self, receiver: Receiver, *, stored: int, after_s: float) -> Iterator[None]:
        """Kill -9 a while after so many instances were stored, and not acknowledged all yet.

        Counted and not timed, so that it falls into the transfer on any machine.
        """

        def kill() -> None:
            assert self._process.stdout is not None
            for _ in range(stored):
                next(line for line in self._process.stdout if line == "STORED\n")
            time.sleep(after_s)
            os.kill(receiver.process_id, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            yield
        finally:
            killer.join()


def moments(chance: random.Random, *, rounds: int, instances: int) -> Iterator[tuple[int, float]]:
    """When to kill: before the first instance, in the middle, and then at random.

    The first round acknowledges nothing and the second something, whatever the others do.
    """
    for number in range(rounds):
        stored = chance.randrange(instances)
        yield (0, instances // 2, stored)[min(number, 2)], chance.uniform(0, 0.02)


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
    process.communicate(timeout=120)
