"""Pictures that packages bring along become files that can be trained on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ai_core.pretraining import gather_pictures, read_exclusion
from ai_core.pretraining.packaged import write_packaged


def test_photographs_and_slices_of_the_head_are_written_and_read(tmp_path):
    pytest.importorskip("nilearn")
    counts = write_packaged(tmp_path)
    assert set(counts) == {"skimage", "sklearn", "nilearn"}
    assert min(counts.values()) >= 2
    directions = {file.name.split("-")[0] for file in (tmp_path / "nilearn").iterdir()}
    assert directions == {"axial", "coronal", "sagittal"}
    pictures = gather_pictures([tmp_path / name for name in counts], exclusion=read_exclusion([]))
    assert len(pictures) > 300
    assert {count.seen for count in pictures.counts} == set(counts.values())


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    run = subprocess.run(
        [sys.executable, "-m", "ai_core.pretraining.packaged", "--out", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert "Traceback" not in run.stderr
