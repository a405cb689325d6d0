"""kill -9 at random moments while DCMTK sends: what was acknowledged is there, once and whole."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from listener import Spool
from mediclip_dicom.cli.demo.pacs import DemoPacs, free_port
from tests.conftest import is_soak, soak_rounds
from tests.factories.node_process import NodeProcess, make_study, study_uid
from tests.listener.receivers import Receivers, forking

pytestmark = pytest.mark.system

INSTANCES = 40
STUDY = "1.2.3"


def send_until_killed(
    storescu: Path, receivers: Receivers, root: Path, paths: list[Path], *, after_s: float
) -> set[Path]:
    """Return the files that storescu was told to be stored."""
    receiver = receivers.start(root)
    killer = threading.Timer(after_s, os.kill, [receiver.process_id, signal.SIGKILL])
    killer.start()
    # -R: propose only what is sent; without --halt it goes on after a refusal.
    said = subprocess.run(
        [storescu, "-v", "-R", "-aec", "NODE", "127.0.0.1", str(receiver.port), *map(str, paths)],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    killer.join()
    acknowledged: set[Path] = set()
    sending: Path | None = None
    for line in (said.stdout + said.stderr).splitlines():
        if "Sending file:" in line:
            sending = Path(line.partition("Sending file:")[2].strip())
        elif "Received Store Response (Success)" in line and sending is not None:
            acknowledged.add(sending)
    return acknowledged


def content(path: Path) -> tuple[str, bytes]:
    dataset = pydicom.dcmread(path)
    return str(dataset.SOPInstanceUID), bytes(dataset.PixelData)


@pytest.mark.soak
def test_whatever_storescu_was_told_is_stored_is_there_once_and_whole(
    dcmtk: Path, make_ct: Callable[..., Path], tmp_path: Path
) -> None:
    seed = int(os.environ.get("MEDICLIP_SOAK_SEED", "20261125"))
    chance = random.Random(seed)
    paths = [make_ct(STUDY, f"{STUDY}.1", shade=shade) for shade in range(INSTANCES)]
    sent = dict(content(path) for path in paths)
    root = tmp_path / "spool"
    acknowledged: set[Path] = set()
    cut_short = 0
    with forking() as receivers:
        for _ in range(soak_rounds(short=8, long=400)):
            chance.shuffle(paths)
            told = send_until_killed(
                dcmtk / "storescu", receivers, root, paths, after_s=chance.uniform(0.02, 0.5)
            )
            cut_short += len(told) < len(paths)
            acknowledged |= told
            with Spool(root) as spool:
                assert list((root / "incoming").iterdir()) == []
                versions = spool.versions(STUDY)
                kept = {version.sop_instance_uid: version.path for version in versions}
                assert len(versions) == len(kept), "an instance is there twice"
            assert {content(path)[0] for path in told} <= set(kept), f"lost, seed {seed}"
    assert cut_short
    assert acknowledged
    for uid, path in kept.items():
        assert content(path) == (uid, sent[uid])


@pytest.mark.soak
def test_a_node_killed_at_random_moments_answers_each_study_once(
    make_node: Callable[..., NodeProcess], dcmtk: Path, tmp_path: Path
) -> None:
    if not is_soak():
        pytest.skip("a long test, for make soak; its short form is test_a_study_survives_kill_9")
    chance = random.Random(20261125)
    port = free_port()
    with DemoPacs({}) as pacs:
        node = make_node(node_port=port, pacs=pacs)
        for number in range(40, 40 + soak_rounds(short=1, long=40)):
            node.start()
            paths = make_study(tmp_path / str(number), number, lesion=True)
            pacs.store(paths)
            killer = threading.Timer(chance.uniform(0, 6), node.end, [signal.SIGKILL])
            killer.start()
            subprocess.run(
                [dcmtk / "storescu", "-aec", "MEDICLIP", "127.0.0.1", str(port), *paths],
                check=False,
                capture_output=True,
            )
            killer.join()
            node.start()
            # A modality sends again what was not acknowledged; here everything, which must not
            # make a second answer to the same content.
            subprocess.run(
                [dcmtk / "storescu", "-aec", "MEDICLIP", "127.0.0.1", str(port), *paths],
                check=True,
                capture_output=True,
            )
            runs = node.wait_for_runs(study_uid(number))
            assert runs[-1] == ("done", True, 1)
            reports = [
                uid
                for series in pacs.find_series(study_uid(number))
                if series.modality == "SR"
                for uid in series.sop_instance_uids
            ]
            assert len(reports) == len(runs)
            node.end(signal.SIGKILL)
