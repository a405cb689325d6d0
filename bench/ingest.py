"""How fast the listener takes instances in, beside DCMTK's storescp and plain pynetdicom.

    python bench/ingest.py --count 200 --kib 512 --rounds 3

Every round runs all receivers one after the other with DCMTK's storescu as the sender, so that a
ratio compares runs that are close in time. Our listener syncs every instance to disk before it
answers; the other two do not.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from listener.errors import PeerError
from listener.scu import Peer, echo

# DCMTK leaves Nagle's algorithm on otherwise, which costs some 40 ms an instance on either side.
NO_DELAY = os.environ | {"TCP_NODELAY": "1"}

OURS = """
import sys, time
from pathlib import Path
from listener.scp import ListenerSettings, StorageSCP
from listener.spool import Spool
settings = ListenerSettings(ae_title="NODE", port=int(sys.argv[1]), min_free_bytes=0)
with StorageSCP(settings, Spool(Path(sys.argv[2]))):
    time.sleep(3600)
"""
PLAIN = """
import sys
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
def keep(event):
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(Path(sys.argv[2]) / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
    return 0
ae = AE("NODE")
ae.supported_contexts = AllStoragePresentationContexts
ae.add_supported_context("1.2.840.10008.1.1")
ae.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, keep)])
"""


def commands(port: int, folder: Path) -> dict[str, list[str]]:
    python = [sys.executable, "-c"]
    return {
        "listener (fsync)": [*python, OURS, str(port), str(folder)],
        "pynetdicom save_as": [*python, PLAIN, str(port), str(folder)],
        "dcmtk storescp": ["storescp", "-aet", "NODE", "-od", str(folder), str(port)],
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_instances(folder: Path, *, count: int, kib: int, generator: np.random.Generator) -> None:
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    dataset.Rows, dataset.Columns = kib, 512  # two bytes a pixel
    dataset.PixelData = generator.integers(0, 4096, kib * 512, dtype=np.uint16).tobytes()
    for number in range(count):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=["bench", str(number)]
        )
        dataset.save_as(folder / f"{number:05}.dcm")


def seconds_to_send(name: str, source: Path) -> float:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        receiver = subprocess.Popen(
            commands(port, Path(folder))[name],
            env=NO_DELAY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            begun = time.perf_counter()
            subprocess.run(
                ["storescu", "-aec", "NODE", "+sd", "127.0.0.1", str(port), str(source)],
                env=NO_DELAY,
                check=True,
                stdout=subprocess.DEVNULL,
            )
            return time.perf_counter() - begun
        finally:
            receiver.terminate()
            receiver.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            echo(Peer("NODE", "127.0.0.1", port))
        except PeerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="instances")
    parser.add_argument("--kib", type=int, default=512, help="KiB of pixel data of an instance")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in commands(0, Path())}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        generator = np.random.default_rng(0)
        make_instances(source, count=arguments.count, kib=arguments.kib, generator=generator)
        for _ in range(arguments.rounds):
            for name, taken in times.items():
                taken.append(seconds_to_send(name, source))
    megabytes = arguments.count * arguments.kib * 1024 / 1e6
    for name, taken in times.items():
        middle = statistics.median(taken)
        ratio = statistics.median(
            other / ours for other, ours in zip(taken, times["listener (fsync)"], strict=True)
        )
        print(
            f"{name:20} {arguments.count / middle:7.0f} instances/s {megabytes / middle:7.1f} MB/s"
            f"   listener is {ratio:.2f} times as fast"
        )


if __name__ == "__main__":
    main()
