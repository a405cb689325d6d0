"""Time and peak memory of writing the results of a large CT.

    python bench/results.py [--slices 2000] [--marked 0.0] [--kinds SR,SEG,FRACTIONAL]

Makes a CT of 512 x 512 slices in a temporary folder (headers only: the writer reads no pixels for
these kinds) and a map for each slice with the sections of three lesions of known volume, and writes
the results in a process of its own. `--marked 1` adds a disc that runs through that share of the
slices. `peak_mb` is the largest resident set of that process, libraries
and all (ru_maxrss); `own_peak_mb` leaves out the pages of mapped files, which are the libraries'
code (anonymous memory, sampled from /proc). `cpu_seconds` are user and system time, which other
work on the machine lengthens less than `seconds`.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian
from scipy.ndimage import gaussian_filter  # type: ignore[attr-defined]

from mediclip_dicom.imaging import Placement, SourceImage, read_header
from mediclip_dicom.results import (
    Device,
    Finding,
    Findings,
    ImageReading,
    Reading,
    StoredMap,
    find,
    write_results,
)
from mediclip_dicom.settings import ResultKind

SIDE = 512
STEP = 0.5
FIELD = 0.7 * SIDE
OPERATING_POINT = 0.5
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
        dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], STEP
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        corner = -FIELD / 2 + 0.35
        dataset.ImagePositionPatient = [corner, corner, STEP * (number - 1)]
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "MONOCHROME2", 1
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.PixelData = 0, b"\0\0"
        dataset.save_as(folder / f"{number:05}.dcm", enforce_file_format=True)


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid: centre and half axes in mm, in the CT's own coordinates."""

    centre: tuple[float, float, float]
    half_axes: tuple[float, float, float]

    @property
    def volume(self) -> float:
        return 4 / 3 * math.pi * math.prod(self.half_axes)


def lesions(slices: int) -> list[Lesion]:
    """Three lesions in the first, second and third part of the stack."""
    depth = slices * STEP
    return [
        Lesion((-60.0, -40.0, 0.25 * depth), (14.0, 14.0, min(14.0, 0.1 * depth))),
        Lesion((50.0, 10.0, 0.5 * depth), (25.0, 12.0, min(30.0, 0.1 * depth))),
        Lesion((10.0, 60.0, 0.75 * depth), (8.0, 8.0, min(8.0, 0.1 * depth))),
    ]


def write_maps(path: Path, slices: int, marked: float) -> None:
    """Sections of three lesions over noise; with --marked, a disc on that share of the slices, too.

    The lesions' edges are blurred over some 10 pixels of the map, as a vision tower's patches do.
    """
    maps = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(slices, 224, 224))
    row, column = np.mgrid[0:224, 0:224]
    y, x = ((index + 0.5) * FIELD / 224 - FIELD / 2 for index in (row, column))
    disc = np.exp(-(((row - 90) / 30) ** 2 + ((column - 140) / 24) ** 2)).astype(np.float32)
    first = round(slices * (1 - marked) / 2)
    generator = np.random.default_rng(0)
    for number in range(slices):
        noise = gaussian_filter(generator.normal(size=(224, 224)), 8)
        values = 0.2 + 0.05 * noise / noise.std()
        for lesion in lesions(slices):
            z = (number * STEP - lesion.centre[2]) / lesion.half_axes[2]
            (cx, cy, _), (ax, ay, _) = lesion.centre, lesion.half_axes
            inside = ((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + z**2 < 1
            if inside.any():
                values = values + (0.9 - 0.2) * gaussian_filter(inside.astype(float), 2)
        if first <= number < first + round(slices * marked):
            values = np.maximum(values, disc)
        maps[number] = values.clip(0, 1)
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
        score=1.0, p_value=0.1, operating_point=OPERATING_POINT, false_positive_rate=0.05, k=16,
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = find(reading)
    return {
        "slices": len(images),
        "marked": marked,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mb": round(peak / 1024),
        "own_peak_mb": round(sampler.peak),
        "own_before_mb": round(before),
        "findings": len(found.reported) + found.further,
        "specks": found.specks,
        "volume_found_over_true": [
            round((nearest(found, lesion).size.volume_mm3 or 0) / lesion.volume, 2)
            for lesion in lesions(len(images))
        ],
        "objects": {
            kind: [sum(o.kind == kind for o in objects), round(size / 2**20, 1)]
            for kind in dict.fromkeys(o.kind for o in objects)
            for size in [sum(o.path.stat().st_size for o in objects if o.kind == kind)]
        },
    }


def nearest(found: Findings, lesion: Lesion) -> Finding:
    return min(found.reported, key=lambda f: math.dist(f.centre_mm or (), lesion.centre))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=2000)
    parser.add_argument("--marked", type=float, default=0.0)
    parser.add_argument("--kinds", default="SR,SEG")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    marked = round(arguments.slices * arguments.marked)
    if arguments.folder is not None:
        chosen = [kind for kind in get_args(ResultKind) if kind in arguments.kinds.split(",")]
        print(json.dumps(write(arguments.folder, chosen, marked)))
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
