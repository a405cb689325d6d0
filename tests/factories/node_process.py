"""The real node in a process of its own, and the studies that it is sent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from sqlalchemy import select

from listener import ListenerError, Peer, echo
from mediclip_dicom.database import Run, Study, StudyRevision, open_database
from mediclip_dicom.settings import Settings
from tests.factories.sources import STUDY_UID, mr_series

START_LIMIT_S = 180.0

ANSWER_LIMIT_S = 180.0


def study_uid(number: int) -> str:
    return f"{STUDY_UID}.7.{number}"


def make_study(folder: Path, number: int, *, lesion: bool = False, slices: int = 3) -> list[Path]:
    """An MR study of a smooth, noisy disc; a lesion is a bright square on every slice."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(number)
    paths = mr_series(
        folder,
        slices=slices,
        rows=64,
        columns=64,
        series=number,
        StudyInstanceUID=study_uid(number),
        PatientID=f"SENTINEL-{number}",
        PatientName="Sentinel^Name",
    )
    row, column = np.mgrid[-1:1:64j, -1:1:64j]
    body = np.clip(6 * (0.85 - np.hypot(row, column)), 0, 1) * 420
    for path in paths:
        pixels = body * (1 + 0.1 * np.cos(3 * column)) + draw.normal(0, 6, body.shape)
        if lesion:
            pixels[22:40, 20:38] = 980
        dataset = dcmread(path)
        dataset.PixelData = np.clip(pixels, 0, 1000).astype("<u2").tobytes()
        dataset.save_as(path)
    return paths


@dataclass
class NodeProcess:
    """`mediclip-dicom serve`, started, killed and started again on the same storage."""

    config: Path
    settings: Settings
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.config.with_name("node.log")
        self.sessions = open_database(self.settings.database_url)

    @property
    def peer(self) -> Peer:
        node = self.settings.node
        return Peer(node.ae_title, "127.0.0.1", node.port, calling_ae_title="TEST")

    def start(self) -> None:
        command = [sys.executable, "-m", "mediclip_dicom", "--config", str(self.config), "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                echo(self.peer)
            except ListenerError:
                time.sleep(0.2)
            else:
                return
        pytest.fail(f"the node did not start:\n{self.log.read_text()[-4000:]}")

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(ANSWER_LIMIT_S)

    def runs(self, study: str) -> list[tuple[str, bool, int]]:
        """(state, finished, verdicts) of each run of a study."""
        with self.sessions() as session:
            found = session.scalars(
                select(Run)
                .join(StudyRevision)
                .join(Study)
                .where(Study.study_instance_uid == study)
                .order_by(Run.created_at)
            )
            return [
                (run.state.value, run.finished_at is not None, len(run.verdicts)) for run in found
            ]

    def wait_for_runs(self, study: str, count: int = 1) -> list[tuple[str, bool, int]]:
        """Wait until a study has this many runs and all are finished."""
        deadline = time.monotonic() + ANSWER_LIMIT_S
        while time.monotonic() < deadline:
            runs = self.runs(study)
            if len(runs) >= count and all(finished for _, finished, _ in runs):
                return runs
            time.sleep(0.1)
        pytest.fail(f"runs {self.runs(study)} of {study}:\n{self.log.read_text()[-4000:]}")
