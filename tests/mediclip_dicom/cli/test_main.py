"""What the console script does before any command runs, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
import atexit, os, sys
from mediclip_dicom.cli import main
atexit.register(lambda: print("policy", os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules))
main()
"""


def run(arguments: list[object], *, folder: Path, policy: str | None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_DISPLAY_ENV": "true"}
    if policy is not None:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", SHOW, *map(str, arguments)]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    return ended.stdout + ended.stderr


@pytest.mark.parametrize(("policy", "expected"), [(None, "passive"), ("active", "active")])
def test_openmp_waits_without_spinning_unless_the_administrator_says_otherwise(
    config: Path, tmp_path: Path, policy: str | None, expected: str
) -> None:
    arguments = ["--config", config, "analyze", tmp_path, "--task", "none", "--out", tmp_path]
    said = run(arguments, folder=tmp_path, policy=policy)
    assert f"policy {expected} True" in said
    if "OMP_WAIT_POLICY = " not in said:
        pytest.skip("this OpenMP does not show what it has read")
    assert f"OMP_WAIT_POLICY = '{expected.upper()}'" in said


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    assert "policy passive False" in run(["--help"], folder=tmp_path, policy=None)
