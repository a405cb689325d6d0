"""Memory and threads of the listener over 100,000 associations or one hour, whichever is first.

    python bench/associations.py [--count 100000] [--minutes 60]

A receiver in a process of its own; four senders that store and release, abort, hang up in the
middle of a PDU, or say nothing that is DICOM. Prints threads and resident memory of the receiver
after a warm-up and at the end.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from pydicom.data import get_testdata_file
from pynetdicom import AE

RECEIVER = """
import sys, time
from pathlib import Path
import structlog
from listener import AllowedPeer, ListenerSettings, PeerLimits, Spool, StorageSCP

# The pipe is not read after the first line: a log would fill it and stop the receiver.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
anyone = AllowedPeer("anyone", "", limits=PeerLimits(associations=100))
settings = ListenerSettings(
    "NODE", port=0, anonymous_peer=anyone, min_free_bytes=0, network_timeout_s=10, acse_timeout_s=5
)
with StorageSCP(settings, Spool(Path(sys.argv[1]))) as scp:
    print("PORT", scp.port, flush=True)
    time.sleep(86400)
"""
CT = "1.2.840.10008.5.1.4.1.1.2"
SENDERS = 4
WARM_UP = 200


def one_association(port: int, number: int, path: Path) -> None:
    match number % 4:
        case 3:
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n" if number % 8 == 3 else b"\x01\x00")
        case kind:
            sender = AE("BENCH")
            sender.add_requested_context(CT, "1.2.840.10008.1.2.1")
            association = sender.associate("127.0.0.1", port, ae_title="NODE")
            if not association.is_established:
                return
            if kind == 0:
                association.send_c_store(path)
            if kind == 2:
                association.abort()
            else:
                association.release()


def settled(receiver: psutil.Process, limit_s: float = 30) -> tuple[int, float]:
    """Threads and MiB after the last associations have ended."""
    deadline = time.monotonic() + limit_s
    while receiver.num_threads() > 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    return receiver.num_threads(), receiver.memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    path = Path(str(get_testdata_file("CT_small.dcm")))
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-c", RECEIVER, folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("PORT"))
            port, receiver = int(line.split()[1]), psutil.Process(process.pid)
            measure(port, receiver, path, options)
        finally:
            process.kill()


def measure(port: int, receiver: psutil.Process, path: Path, options: argparse.Namespace) -> None:
    deadline = time.monotonic() + options.minutes * 60
    done = 0
    with ThreadPoolExecutor(SENDERS) as pool:
        while done < options.count and time.monotonic() < deadline:
            numbers = range(done, done + WARM_UP)
            list(pool.map(lambda number: one_association(port, number, path), numbers))
            done += WARM_UP
            if done == WARM_UP:
                begun, (threads, memory) = time.monotonic(), settled(receiver)
                print(f"after {done:7,}: {threads} threads, {memory:.1f} MiB", flush=True)
    seconds = time.monotonic() - begun
    threads, memory = settled(receiver)
    print(f"after {done:7,}: {threads} threads, {memory:.1f} MiB")
    print(f"{(done - WARM_UP) / max(seconds, 1e-9):.0f} associations/s with {SENDERS} senders")


if __name__ == "__main__":
    main()
