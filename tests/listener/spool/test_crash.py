"""What is left after the receiver was killed in the middle of its work."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from listener.errors import PeerUnreachableError
from listener.scu import Peer, StoreAbortedError, StoreCategory, StoreOutcome, store
from listener.spool import Spool
from tests.listener.conftest import data_set_of
from tests.listener.receivers import Receivers, forking

ROUNDS = 10


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with forking() as started:
        yield started


def receive_until_killed(
    receivers: Receivers, root: Path, paths: list[Path], *, after_s: float
) -> tuple[StoreOutcome, ...]:
    """Send to a fresh receiver that is killed after a while; return what it acknowledged."""
    receiver = receivers.start(root)
    killer = threading.Timer(after_s, os.kill, [receiver.process_id, signal.SIGKILL])
    killer.start()
    try:
        return store(Peer("NODE", "127.0.0.1", receiver.port, dimse_timeout_s=20), paths)
    except StoreAbortedError as error:
        return error.outcomes
    except PeerUnreachableError:
        return ()  # killed before it could accept the association
    finally:
        killer.join()


def test_whatever_was_acknowledged_before_a_kill_is_there_whole_and_once(
    tmp_path, make_ct, receivers
):
    root = tmp_path / "killed"
    chance = random.Random(20261124)
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(150)]
    uids = {path: pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]) for path in paths}
    source = {dataset.SOPInstanceUID: path for path, dataset in uids.items()}
    acknowledged: set[str] = set()
    cut_short = 0
    for _ in range(ROUNDS):
        chance.shuffle(paths)
        outcomes = receive_until_killed(receivers, root, paths, after_s=chance.uniform(0.05, 0.6))
        cut_short += len(outcomes) < len(paths)
        assert all(outcome.category is StoreCategory.SUCCESS for outcome in outcomes)
        acknowledged |= {outcome.sop_instance_uid for outcome in outcomes}
    assert cut_short
    assert acknowledged
    with Spool(root) as spool:
        assert list((root / "incoming").iterdir()) == []
        versions = spool.versions("1.2.3")
        assert len({version.sop_instance_uid for version in versions}) == len(versions)
        kept = {version.sop_instance_uid: version.path for version in versions}
    assert acknowledged <= set(kept)
    for uid, path in kept.items():
        assert data_set_of(path) == data_set_of(source[uid])
