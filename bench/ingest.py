"""Ingest throughput of the listener and of other C-STORE receivers, in one run.

    python bench/ingest.py [--large 500] [--small 5000] [--senders 1 4 16] [--rounds 1]

DCMTK's storescu sends CT instances of 512 KiB and of 8 KiB over as many associations at once as
there are senders. In every round each receiver takes the same instances one after the other, so
that a ratio compares runs that are close in time. Our listener and Orthanc sync every instance to
disk before they answer (Orthanc: SyncStorageArea, its default), and so does a bare loop in C that
shows what a receiver could do here at most (where there is a C compiler); the others do not. What
was received is deleted at the end of all: ext4 without a journal takes a multiple of the time to
make a file for minutes after others were deleted. 3 GB a round, as it is.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

if TYPE_CHECKING:
    from bench.receivers import NO_DELAY, OURS, receiver, receivers
else:  # run as a script, whose own folder is on the path
    from receivers import NO_DELAY, OURS, receiver, receivers

STORED_AT_LEAST = {"large": 512 * 1024, "small": 8 * 1024}


@dataclass(frozen=True)
class Measurement:
    """Time and memory that one receiver needed for one batch."""

    seconds: float
    cpu_s: float
    peak_mib: float


def make_instances(folder: Path, *, count: int, size: int) -> None:
    bundled = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(bundled, str)
    dataset = pydicom.dcmread(bundled)
    dataset.remove_private_tags()
    generator = np.random.default_rng(0)
    dataset.Rows, dataset.Columns = 16, 16
    dataset.PixelData = bytes(512)
    dataset.save_as(folder / "probe")
    header = (folder / "probe").stat().st_size - 512
    (folder / "probe").unlink()
    dataset.Columns = 64
    dataset.Rows = (size - header) // 128  # two bytes a pixel
    pixels = 64 * dataset.Rows
    for number in range(count):
        dataset.PixelData = generator.integers(0, 4096, pixels, dtype=np.uint16).tobytes()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=["bench", str(size), str(number)]
        )
        dataset.save_as(folder / f"{number:05}.dcm")


def share_out(source: Path, folder: Path, *, senders: int) -> list[Path]:
    """Link the files into one folder per sender."""
    shares = [folder / f"share{number}" for number in range(senders)]
    for share in shares:
        share.mkdir()
    for number, path in enumerate(sorted(source.glob("*.dcm"))):
        os.link(path, shares[number % senders] / path.name)
    return shares


def send(port: int, share: Path) -> None:
    subprocess.run(
        ["storescu", "-aec", "NODE", "+sd", "127.0.0.1", str(port), str(share)],
        env=NO_DELAY,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def take(name: str, source: Path, folder: Path, *, senders: int, processes: int) -> Measurement:
    shares = share_out(source, folder, senders=senders)
    into = folder / "received"
    into.mkdir()
    with receiver(name, into, processes=processes) as running, ThreadPoolExecutor(32) as pool:
        before = running.cpu_s()
        begun = time.perf_counter()
        list(pool.map(lambda share: send(running.port, share), shares))
        seconds = time.perf_counter() - begun
        return Measurement(seconds, running.cpu_s() - before, running.peak_mib)


def compare(
    names: Sequence[str], source: Path, *, senders: int, processes: int, rounds: int
) -> dict[str, list[Measurement]]:
    taken: dict[str, list[Measurement]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, runs in taken.items():
            folder = Path(tempfile.mkdtemp(dir=source.parent))
            os.sync()  # so that no receiver waits for the writes of the one before
            runs.append(take(name, source, folder, senders=senders, processes=processes))
    return taken


def report(
    kind: str, senders: int, taken: dict[str, list[Measurement]], *, count: int, size: int
) -> None:
    megabytes = count * size / 1e6
    print(f"\n{count} instances of {size // 1024} KiB, senders: {senders}")
    print(f"{'':22}{'MB/s':>8}{'inst./s':>9}{'CPU s/GB':>10}{'peak MiB':>10}   listener / this")
    for name, runs in taken.items():
        seconds = statistics.median(run.seconds for run in runs)
        ratio = statistics.median(
            other.seconds / ours.seconds for other, ours in zip(runs, taken[OURS], strict=True)
        )
        cpu = statistics.median(run.cpu_s for run in runs) / (megabytes / 1e3)
        peak = max(run.peak_mib for run in runs)
        print(
            f"{name:22}{megabytes / seconds:8.1f}{count / seconds:9.0f}{cpu:10.1f}{peak:10.0f}"
            f"   {ratio:.2f} ({kind}, {senders})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", type=int, default=500, help="instances of 512 KiB")
    parser.add_argument("--small", type=int, default=5000, help="instances of 8 KiB")
    parser.add_argument("--senders", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--processes", type=int, default=1, help="of our listener")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", help="other receivers, by the beginning of the name")
    options = parser.parse_args()
    names = [
        name
        for name in receivers()
        if options.only is None or name == OURS or name.startswith(tuple(options.only))
    ]
    with tempfile.TemporaryDirectory() as kept:
        for kind, count in (("large", options.large), ("small", options.small)):
            if not count:
                continue
            size, source = STORED_AT_LEAST[kind], Path(kept) / kind
            source.mkdir()
            make_instances(source, count=count, size=size)
            for senders in options.senders:
                taken = compare(
                    names,
                    source,
                    senders=senders,
                    processes=options.processes,
                    rounds=options.rounds,
                )
                report(kind, senders, taken, count=count, size=size)


if __name__ == "__main__":
    main()
