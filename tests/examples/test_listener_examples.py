"""The receiver and the sender in examples/, each in a process of its own, against each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.events import EventHandlerType

from tests.factories.servers import port_of, start_server
from tests.listener.conftest import bundled

ROOT = Path(__file__).parents[2]
CT = "1.2.840.10008.5.1.4.1.1.2"
LIMIT_S = 120


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@dataclass
class Receiver:
    port: int
    said: list[str] = field(default_factory=list)
    code: int | None = None


@contextmanager
def receiving(folder: Path, *options: str) -> Iterator[Receiver]:
    process = subprocess.Popen(
        command("receive_only.py", folder, "--port", 0, *options),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        receiver = Receiver(int(process.stdout.readline().split(" into ")[0].rpartition(":")[2]))
        yield receiver
        process.send_signal(signal.SIGINT)  # Ctrl-C
        receiver.said = process.communicate(timeout=LIMIT_S)[0].splitlines()
        receiver.code = process.returncode
    finally:
        process.kill()
        process.communicate()


def send(port: int, *files: Path, options: tuple[str, ...] = ()) -> tuple[int, str]:
    done = subprocess.run(
        command("send_and_commit.py", "127.0.0.1", port, *files, *options),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    dataset = dcmread(bundled("CT_small.dcm"))
    paths = []
    for number in (1, 2):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(
            f"1.2.3.{number}"
        )
        dataset.StudyInstanceUID = "1.2.3"
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1])
    return paths


def test_what_is_sent_is_on_disk_and_committed(tmp_path, files):
    with receiving(tmp_path / "spool") as receiver:
        code, printed = send(receiver.port, *files)
        kept = sorted((tmp_path / "spool" / "studies" / "1.2.3").rglob("*.dcm"))
    assert code == 0, printed
    for number in (1, 2):
        assert f"1.2.3.{number}: success (0000H)" in printed
        assert f"1.2.3.{number}: committed" in printed
    assert [str(dcmread(path).SOPInstanceUID) for path in kept] == ["1.2.3.1", "1.2.3.2"]
    assert receiver.code == 0
    reported = [line for line in receiver.said if line.startswith("study 1.2.3: ")]
    assert sum(int(line.split()[2]) for line in reported) == 2
    assert "association of SENDER released: 1 studies" in receiver.said
    assert receiver.said[-1] == "stopped"


def test_an_instance_that_is_refused_is_printed_and_makes_the_exit_code_1(tmp_path, files):
    broken = dcmread(files[1])
    broken.PixelData = broken.PixelData[:100]
    broken.save_as(files[1])
    with receiving(tmp_path / "spool") as receiver:
        code, printed = send(receiver.port, *files)
    assert code == 1
    assert "1.2.3.1: committed" in printed
    assert "1.2.3.2: refused (C000H, " in printed
    assert "1.2.3.2: committed" not in printed


def test_a_sender_that_is_not_named_is_rejected(tmp_path, files):
    with receiving(tmp_path / "spool", "--peer", "CT1") as receiver:
        code, printed = send(receiver.port, *files)
        assert code == 1
        assert "Calling AE title not recognised" in printed
        assert send(receiver.port, *files, options=("--calling", "CT1"))[0] == 0


def test_a_peer_that_never_reports_makes_the_exit_code_1(files):
    peer = AE("NODE")
    peer.add_supported_context(CT, "1.2.840.10008.1.2.1")
    peer.add_supported_context("1.2.840.10008.1.20.1")
    handlers: list[EventHandlerType] = [
        (evt.EVT_C_STORE, lambda _: 0),
        (evt.EVT_N_ACTION, lambda _: (0, None)),
    ]
    server = start_server(peer, handlers)
    try:
        code, printed = send(port_of(server), *files, options=("--wait", "0.1"))
    finally:
        server.shutdown()
    assert code == 1
    assert "no commitment report within 0.1 s" in printed
