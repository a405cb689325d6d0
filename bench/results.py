"""Time and peak memory of writing the results of a large CT.

    python bench/results.py [--slices 2000] [--marked 1.0] [--kinds SR,SEG,FRACTIONAL]

Makes a CT of 512 x 512 slices in a temporary folder (headers only: the writer reads no pixels for
these kinds), a map for each slice with a lesion on the marked share of them, and writes the
results in a process of its own. `peak_mb` is the largest resident set of that process, libraries
and all (ru_maxrss); `own_peak_mb` leaves out the pages of mapped files, which are the libraries'
code (anonymous memory, sampled from /proc). `cpu_seconds` are user and system time, which other
work on the machine lengthens less than `seconds`.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from mediclip_dicom.imaging import Placement, SourceImage, read_header
from mediclip_dicom.results import Device, ImageReading, Reading, StoredMap, write_results
from mediclip_dicom.settings import ResultKind

SIDE = 512
STUDY = "1.2.826.0.1.3680043.8.498.42"


def write_ct(folder: Path, slices: int) -> None:
    for number in range(1, slices + 1):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{STUDY}.1.{number}")
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{STUDY}.1.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        dataset.FrameOfReferenceUID = f"{STUDY}.9"
        dataset.PatientName, dataset.PatientID = "Bench^Mark", "BENCH"
        dataset.Modality, dataset.InstanceNumber = "CT", number
        dataset.Rows = dataset.Columns = SIDE
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 0.5
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-180, -180, 0.5 * number]
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.PixelData = 0, b"\0\0"
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)


def write_maps(path: Path, slices: int, marked: float) -> None:
    """A disc of smooth values on the marked slices, in the middle of the stack."""
    maps = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(slices, 224, 224))
    row, column = np.mgrid[0:224, 0:224]
    lesion = np.exp(-(((row - 90) / 30) ** 2 + ((column - 140) / 24) ** 2)).astype(np.float32)
    first = round(slices * (1 - marked) / 2)
    for number in range(slices):
        inside = first <= number < first + round(slices * marked)
        maps[number] = lesion if inside else 0.05 * lesion
    maps.flush()


def anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in status if line.startswith("RssAnon"))) / 1024


class Sampler:
    """The peak of the anonymous memory, looked at twenty times a second."""

    def __init__(self) -> None:
        self.peak = anonymous_mb()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Sampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.05):
            self.peak = max(self.peak, anonymous_mb())


def write(folder: Path, kinds: list[ResultKind], marked: int) -> dict[str, object]:
    images = []
    for number, path in enumerate(sorted((folder / "ct").iterdir())):
        placement = Placement(rows=SIDE, columns=SIDE)
        images.append(
            ImageReading(
                source=SourceImage(path, read_header(path)),
                frame_number=1,
                score=0.9,
                map=StoredMap(folder / "maps.npy", number),
                placement=placement,
                skipped=None,
            )
        )
    reading = Reading(
        task_name="bench", task_version=1, task_version_uid="2.25.1", verdict="abnormal",
        score=1.0, p_value=0.1, operating_point=0.5, false_positive_rate=0.05, k=16,
        preset="default", backbone="none", backbone_trained=False, backbone_sha256="0" * 64,
        weights_sha256="0" * 64, software_version="0", study_content_digest="0" * 64, revision=1,
        images=tuple(images), finished_at=datetime.now(UTC),
    )  # fmt: skip
    device = Device(
        uid="2.25.2", name="b", manufacturer="b", model="b", serial="0", software_version="0"
    )
    before = anonymous_mb()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    with Sampler() as sampler:
        objects = write_results(reading, device=device, directory=folder / "out", kinds=kinds)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    return {
        "slices": len(images),
        "marked": marked,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "own_peak_mb": round(sampler.peak),
        "own_before_mb": round(before),
        "objects": {
            kind: [sum(o.kind == kind for o in objects), round(size / 2**20, 1)]
            for kind in dict.fromkeys(o.kind for o in objects)
            for size in [sum(o.path.stat().st_size for o in objects if o.kind == kind)]
        },
    }


def result_kinds(text: str) -> list[ResultKind]:
    known: dict[str, ResultKind] = {kind: kind for kind in get_args(ResultKind)}
    return [known[name] for name in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=2000)
    parser.add_argument("--marked", type=float, default=1.0)
    parser.add_argument("--kinds", default="SR,SEG")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    marked = round(arguments.slices * arguments.marked)
    if arguments.folder is not None:
        print(json.dumps(write(arguments.folder, result_kinds(arguments.kinds), marked)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "ct").mkdir()
        write_ct(folder / "ct", arguments.slices)
        write_maps(folder / "maps.npy", arguments.slices, arguments.marked)
        command = [sys.executable, __file__, "--folder", name, "--kinds", arguments.kinds]
        shape = ["--slices", str(arguments.slices), "--marked", str(arguments.marked)]
        subprocess.run([*command, *shape], check=True)


if __name__ == "__main__":
    main()
