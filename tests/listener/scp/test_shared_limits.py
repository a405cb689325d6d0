"""Several processes on one port: limits and counters hold for all, and a kill loses nothing."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE

from listener.access import AllowedPeer, PeerLimits
from listener.errors import PeerError
from listener.scp import SharedLimits, SlotLease, StorageSCP, claim_port
from listener.scp.rate_limit import SharedRateLimit
from listener.scu import Peer, StoreAbortedError, StoreOutcome, echo, store
from listener.settings import ListenerSettings
from listener.spool import Spool
from tests.conftest import wait_until
from tests.listener.conftest import ANYONE, data_set_of

# One receiver: settings, spool, shared limits and its number come in; it says when it listens.
_PROGRAM = """
import pickle, sys, time
from listener import Spool, StorageSCP
settings, root, limits, number = pickle.load(sys.stdin.buffer)
with Spool(root, section=f"process-{number}") as spool:
    counts = limits.counts(number)
    with StorageSCP(settings, spool, shared=limits, counts=counts):
        print("LISTENS", flush=True)
        time.sleep(600)
"""


class Receivers:
    """Processes that each run a Storage SCP on one port; one that is killed can be replaced."""

    def __init__(self, folder: Path, root: Path, settings: dict[str, object]) -> None:
        self._claimed = claim_port("127.0.0.1", int(str(settings.pop("port", 0))))
        self.port = int(self._claimed.getsockname()[1])
        chosen: dict[str, Any] = {"ae_title": "NODE", "min_free_bytes": 0, "stop_timeout_s": 5.0}
        if "peers" not in settings:
            chosen["anonymous_peer"] = ANYONE
        self._settings = ListenerSettings(
            **(chosen | settings),
            port=self.port,
            share_port=True,
        )
        self._root = root
        self.limits = SharedLimits(folder, associations=self._settings.max_associations)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, processes: int) -> None:
        self.processes = [self._spawn(number) for number in range(processes)]
        for process in self.processes:
            self._wait(process)

    def replace(self, number: int) -> None:
        """Kill a process and start another of its number."""
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._spawn(number)
        self._wait(self.processes[number])

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        self._claimed.close()

    def peer(self, *, calling: str = "MODALITY") -> Peer:
        return Peer("NODE", "127.0.0.1", self.port, calling_ae_title=calling, dimse_timeout_s=60)

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        assert process.stdin is not None
        pickle.dump((self._settings, self._root, self.limits, number), process.stdin)
        process.stdin.close()
        process.stdin = None
        return process

    @staticmethod
    def _wait(process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        assert any(line.startswith(b"LISTENS") for line in process.stdout), "it does not listen"
        # Its log must not fill the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()


@pytest.fixture
def start_receivers(spool: Spool, tmp_path: Path) -> Iterator[Callable[..., Receivers]]:
    with ExitStack() as stack:

        def start(*, processes: int = 2, **settings: object) -> Receivers:
            folder = tmp_path / "shared"
            folder.mkdir()
            receivers = Receivers(folder, spool.root, settings)
            stack.callback(receivers.close)
            receivers.start(processes)
            return receivers

        yield start


def test_all_processes_store_into_one_spool_and_what_they_count_adds_up(
    start_receivers, spool, make_ct
):
    receivers = start_receivers()
    batches = [[make_ct("1.2.3", f"1.2.3.{n}") for _ in range(2)] for n in range(1, 17)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda batch: store(receivers.peer(), batch), batches))
    assert {outcome.status for answer in answers for outcome in answer} == {0}
    assert len(spool.instances("1.2.3")) == 32
    limits = receivers.limits
    wait_until(lambda: limits.open_associations == 0, "the associations to end")
    counted = limits.statistics
    assert (counted.stored, counted.associations, counted.aborted) == (32, 16, 0)
    each = [limits.counts(number).statistics().stored for number in range(2)]
    assert sum(each) == 32


def test_a_peers_limit_of_associations_holds_for_all_processes_together(start_receivers):
    peers = (AllowedPeer("ct1", "CT1", limits=PeerLimits(associations=3)),)
    receivers = start_receivers(peers=peers)
    sender = AE("CT1")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = [sender.associate("127.0.0.1", receivers.port, ae_title="NODE") for _ in range(8)]
    assert sum(association.is_established for association in held) == 3
    assert receivers.limits.statistics.rejected_peer_limit == 5
    for association in held:
        if association.is_established:
            association.release()
    wait_until(lambda: receivers.limits.open_associations == 0, "the associations to end")
    assert echo(receivers.peer(calling="CT1")).round_trip_s > 0


def test_the_nodes_limit_of_associations_holds_for_all_processes_together(start_receivers):
    receivers = start_receivers(max_associations=2)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = [sender.associate("127.0.0.1", receivers.port, ae_title="NODE") for _ in range(6)]
    assert sum(association.is_established for association in held) == 2
    # pynetdicom answers first where it rejects itself, so the counter follows
    wait_until(
        lambda: receivers.limits.statistics.rejected_other >= 4, "the rejections to be counted"
    )
    assert receivers.limits.statistics.rejected_other == 4
    for association in held:
        association.abort()


def test_two_storage_scps_of_one_process_share_limits_and_counters(spool, tmp_path):
    limits = SharedLimits(tmp_path, associations=2)
    settings = ListenerSettings("NODE", port=0, min_free_bytes=0, anonymous_peer=ANYONE)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    with (
        StorageSCP(settings, spool, shared=limits, counts=limits.counts(0)) as first,
        StorageSCP(settings, spool, shared=limits, counts=limits.counts(1)) as second,
    ):
        ports = (first.port, second.port, first.port, second.port)
        held = [sender.associate("127.0.0.1", port, ae_title="NODE") for port in ports]
        assert [association.is_established for association in held] == [True, True, False, False]
        assert limits.open_associations == 2
        assert limits.statistics.rejected_other == 2
        for association in held[:2]:
            association.release()
        wait_until(lambda: limits.open_associations == 0, "the associations to end")


def test_slots_are_released_and_end_with_their_holder(tmp_path):
    limits = SharedLimits(tmp_path, associations=2)
    first, second, third = SlotLease(), SlotLease(), SlotLease()
    assert limits.acquire(first)
    assert limits.acquire(second)
    assert not limits.acquire(third)
    first.release()
    assert limits.acquire(third)
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            second.release()  # a copy of the lock is not the lock's end
        os._exit(0)
    os.waitpid(child, 0)
    assert not limits.acquire(first)


def test_a_rate_holds_for_all_processes_together(tmp_path):
    one, other = SharedRateLimit(tmp_path / "pace", 10), SharedRateLimit(tmp_path / "pace", 10)
    waits = [limit.wait_s() for _ in range(20) for limit in (one, other)]
    assert waits[0] <= 0.1 + 1e-6  # the digits of a clock
    assert 1.9 < waits[-1] <= 4.0


def send_until_all_are_in(peer: Peer, paths: list[Path]) -> list[StoreOutcome]:
    outcomes: list[StoreOutcome] = []
    deadline = time.monotonic() + 60
    while len(outcomes) < len(paths) and time.monotonic() < deadline:
        try:
            outcomes += store(peer, paths[len(outcomes) :])
        except StoreAbortedError as error:
            outcomes += error.outcomes
        except PeerError:
            time.sleep(0.05)
    return outcomes


def test_a_process_that_is_killed_and_replaced_loses_nothing_acknowledged(
    start_receivers, spool, make_ct
):
    receivers = start_receivers()
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(120)]
    stop = threading.Event()

    def kill_again_and_again() -> None:
        number = 0
        while not stop.wait(0.3):
            receivers.replace(number)
            number = 1 - number

    killer = threading.Thread(target=kill_again_and_again)
    killer.start()
    outcomes = send_until_all_are_in(receivers.peer(), paths)
    stop.set()
    killer.join()
    acknowledged = {outcome.sop_instance_uid for outcome in outcomes if outcome.status == 0}
    assert len(acknowledged) == len(paths)
    kept = {instance.sop_instance_uid: instance.path for instance in spool.instances("1.2.3")}
    assert acknowledged <= kept.keys()
    by_content = {data_set_of(path) for path in paths}
    assert all(data_set_of(path) in by_content for path in kept.values())


def test_a_killed_process_frees_its_slots_and_the_next_of_its_number_goes_on_counting(
    start_receivers,
):
    receivers = start_receivers(processes=1, max_associations=1)
    sender = AE("MODALITY")
    sender.add_requested_context("1.2.840.10008.1.1")
    held = sender.associate("127.0.0.1", receivers.port, ae_title="NODE")
    assert held.is_established
    receivers.replace(0)
    wait_until(lambda: not held.is_established, "the end of the association")
    assert receivers.limits.open_associations == 0
    assert echo(receivers.peer()).round_trip_s > 0
    assert receivers.limits.statistics.associations == 2


def test_the_incoming_files_of_a_process_that_runs_are_left_alone_at_anothers_start(tmp_path):
    with Spool(tmp_path, section="process-0") as running:
        unfinished = running.incoming / "0123.part"
        unfinished.write_bytes(b"half")
        for section in ("", "process-1"):
            with Spool(tmp_path, section=section):
                assert unfinished.exists()
    with Spool(tmp_path):
        assert not unfinished.exists()


def test_a_claimed_port_is_known_and_no_other_program_gets_it(spool):
    with claim_port("127.0.0.1", 0) as claimed:
        port = claimed.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            claim_port("127.0.0.1", port)
        alone = ListenerSettings("NODE", port=port, min_free_bytes=0, anonymous_peer=ANYONE)
        with pytest.raises(OSError, match="in use"):
            StorageSCP(alone, spool).start()


def test_a_port_that_another_program_listens_on_is_not_shared_with_it(start_scp):
    other = start_scp()
    with pytest.raises(OSError, match="in use"):
        claim_port("127.0.0.1", other.port)
