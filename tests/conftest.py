"""What the tests of all packages share."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

# As the command line sets it, and before any test imports torch: OpenMP reads it only then.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

WAIT_LIMIT_S = 120.0
SHARED_DATA_VARIABLE = "MEDICLIP_SHARED_DATA"


def leave_out(reason: str) -> None:
    """Skip by name; where CI is set, what it has to install must not be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"CI may leave nothing out: {reason}")
    pytest.skip(reason)


def is_soak() -> bool:
    """Whether the long forms are asked for."""
    return "MEDICLIP_SOAK" in os.environ


def soak_rounds(*, short: int, long: int) -> int:
    """How often a test of chance is repeated: short in `make test`, long in `make soak`."""
    usual = long if is_soak() else short
    return int(os.environ.get("MEDICLIP_SOAK_ROUNDS", usual))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what must come; the limit is for what never does, however busy the machine."""
    deadline = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {WAIT_LIMIT_S:.0f} s for {what}")
        time.sleep(0.02)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images and DICOM files beside the checkout; the project does not ship them."""
    beside = Path(__file__).parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get(SHARED_DATA_VARIABLE, beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set {SHARED_DATA_VARIABLE})")
    return folder


@pytest.fixture(scope="session")
def dcmtk() -> Path:
    """The folder of DCMTK's tools."""
    tool = shutil.which("storescu")
    if tool is None:
        leave_out("DCMTK is not installed (Debian package dcmtk)")
    return Path(str(tool)).parent
