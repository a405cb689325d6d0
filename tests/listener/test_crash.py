"""What is left after the receiver was killed in the middle of its work."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pydicom

from listener.errors import AssociationAbortedError
from listener.scu import Peer, StoreCategory, StoreOutcome, store
from listener.spool import Spool
from tests.listener.conftest import data_set_of

ROUNDS = 10
RECEIVER = """
import sys, time
from pathlib import Path
from listener.scp import StorageSCP
from listener.settings import ListenerSettings
from listener.spool import Spool

settings = ListenerSettings(ae_title="NODE", port=0, min_free_bytes=0)
with StorageSCP(settings, Spool(Path(sys.argv[1]))) as scp:
    print("PORT", scp.port, flush=True)
    time.sleep(600)
"""


def receive_until_killed(root: Path, paths: list[Path], *, after_s: float) -> list[StoreOutcome]:
    """Send to a fresh receiver that is killed after a while; return what it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    try:
        port = next(int(line.split()[1]) for line in process.stdout if line.startswith("PORT"))
        killer = threading.Timer(after_s, process.send_signal, [signal.SIGKILL])
        killer.start()
        try:
            outcomes = store(Peer("NODE", "127.0.0.1", port, dimse_timeout_s=20), paths)
        except AssociationAbortedError as error:
            outcomes = error.outcomes
        killer.join()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    return list(outcomes)


def test_whatever_was_acknowledged_before_a_kill_is_there_whole_and_once(tmp_path, make_ct):
    root = tmp_path / "killed"
    chance = random.Random(20261124)
    paths = [make_ct("1.2.3", "1.2.3.1") for _ in range(150)]
    uids = {path: pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]) for path in paths}
    source = {dataset.SOPInstanceUID: path for path, dataset in uids.items()}
    acknowledged: set[str] = set()
    cut_short = 0
    for _ in range(ROUNDS):
        chance.shuffle(paths)
        outcomes = receive_until_killed(root, paths, after_s=chance.uniform(0.05, 0.6))
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
