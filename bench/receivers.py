"""C-STORE receivers to compare, each in a process of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from listener import Peer, echo
from listener.errors import PeerError

# DCMTK leaves Nagle's algorithm on otherwise, which costs some 40 ms an instance on either side.
NO_DELAY = os.environ | {"TCP_NODELAY": "1"}
OURS = "listener (fsync)"
ORTHANC = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
COMPILER = shutil.which("cc")

_OURS = """
import os, sys, tempfile, time
from dataclasses import replace
from pathlib import Path
import structlog
from listener import AllowedPeer, ListenerSettings, PeerLimits, SharedLimits, Spool, StorageSCP
from listener import claim_port
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
anyone = AllowedPeer("anyone", "", limits=PeerLimits(associations=100))
port, root, processes = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
settings = ListenerSettings("NODE", port=port, min_free_bytes=0, anonymous_peer=anyone)
if processes == 1:
    scp = StorageSCP(settings, Spool(root))
else:
    claimed = claim_port(settings.host, port)
    limits = SharedLimits(Path(tempfile.mkdtemp()), associations=settings.max_associations)
    settings = replace(settings, share_port=True)
    number = next((n for n in range(1, processes) if os.fork() == 0), 0)
    spool = Spool(root, section=f"process-{number}")
    scp = StorageSCP(settings, spool, shared=limits, counts=limits.counts(number))
with scp:
    time.sleep(86400)
"""
_PLAIN = """
import sys
from pathlib import Path
from pynetdicom import AE, AllStoragePresentationContexts, evt
def keep(event):
    dataset = event.dataset
    dataset.file_meta = event.file_meta
    dataset.save_as(Path(sys.argv[2]) / f"{dataset.SOPInstanceUID}.dcm", enforce_file_format=True)
    return 0
ae = AE("NODE")
ae.maximum_associations = 100
ae.supported_contexts = AllStoragePresentationContexts
ae.add_supported_context("1.2.840.10008.1.1")
ae.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, keep)])
"""


def receivers() -> tuple[str, ...]:
    """Names of the installed receivers, ours first."""
    orthanc = () if ORTHANC is None else ("orthanc",)
    bare = () if COMPILER is None else ("bare loop in C (fsync)",)
    return (OURS, "dcmtk storescp", *orthanc, "pynetdicom save_as", *bare)


class Running:
    """Receiver in a process of its own, at a port."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.port = port
        self.peak_mib = 0.0
        self._process = process
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def cpu_s(self) -> float:
        """Processor time of it and of its children, ended ones included."""
        used = 0.0
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
        return used

    def close(self) -> None:
        self._stop.set()
        self._watch.join()

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            resident = 0
            for process in self._family():
                with suppress(psutil.NoSuchProcess):
                    resident += process.memory_info().rss
            self.peak_mib = max(self.peak_mib, resident / 2**20)


@contextmanager
def receiver(name: str, folder: Path, *, processes: int = 1) -> Iterator[Running]:
    port = _free_port()
    with subprocess.Popen(
        _command(name, port, folder, processes=processes),
        env=NO_DELAY,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_for(port)
            running = Running(psutil.Process(process.pid), port)
            try:
                yield running
            finally:
                running.close()
        finally:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.terminate()
            process.terminate()


def _command(name: str, port: int, folder: Path, *, processes: int) -> list[str]:
    match name.split()[0]:
        case "listener":
            return [sys.executable, "-c", _OURS, str(port), str(folder), str(processes)]
        case "pynetdicom":
            return [sys.executable, "-c", _PLAIN, str(port), str(folder)]
        case "orthanc":
            return [str(ORTHANC), str(_orthanc_settings(port, folder))]
        case "bare":
            return [str(_bare_receiver(folder.with_name("bare_receiver"))), str(port), str(folder)]
        case _:
            return ["storescp", "--fork", "-pdu", "131072", "-od", str(folder), str(port)]


def _orthanc_settings(port: int, folder: Path) -> Path:
    path = folder / "orthanc.json"
    settings = {
        "Name": "bench",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpServerEnabled": False,
        "DicomAet": "NODE",
        "DicomPort": port,
        "DicomThreadsCount": 16,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "UnknownSopClassAccepted": True,
        "MaximumPduLength": 131072,
    }
    path.write_text(json.dumps(settings))
    return path


def _bare_receiver(program: Path) -> Path:
    source = Path(__file__).with_name("bare_receiver.c")
    subprocess.run([str(COMPILER), "-O2", "-o", str(program), str(source)], check=True)
    return program


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            echo(Peer("NODE", "127.0.0.1", port))
        except PeerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
