"""Reader of the NRRD volumes that dcmqi writes: what is needed of the format, and no more."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Volume:
    """A volume: voxels (i, j, k), and where they are in the patient (left, posterior, superior)."""

    voxels: np.ndarray
    directions: np.ndarray
    origin: np.ndarray

    def places(self) -> np.ndarray:
        """Patient coordinates in mm of the voxels that are set, (n, 3)."""
        return np.asarray(np.argwhere(self.voxels) @ self.directions + self.origin)


def read_nrrd(path: Path) -> Volume:
    header, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(
        line.split(": ", 1) for line in header.decode("ascii").splitlines() if ": " in line
    )
    assert (fields["type"], fields["encoding"]) == ("short", "gzip")
    assert fields["space"] == "left-posterior-superior"
    sizes = [int(size) for size in fields["sizes"].split()]
    voxels = np.frombuffer(gzip.decompress(data), dtype="<i2").reshape(sizes, order="F")
    directions = np.array([_vector(text) for text in fields["space directions"].split()])
    return Volume(voxels, directions, np.array(_vector(fields["space origin"])))


def _vector(text: str) -> list[float]:
    return [float(number) for number in text.strip("()").split(",")]
