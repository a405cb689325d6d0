"""Every kind of result passes dicom-validator, where the edition of the standard is at hand.

It reads the standard's own text (DocBook) and does not bring it along: `validate_iods FILE` fetches
it from dicom.nema.org into the home directory once. Tests don't reach out by themselves.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mediclip_dicom.results import Device, write_results
from tests.mediclip_dicom.results.conftest import image_readings, make_reading
from tests.mediclip_dicom.results.test_profiles import ALL, KINDS

STANDARD = Path(os.environ.get("MEDICLIP_DICOM_STANDARD", Path.home() / "dicom-validator"))


@pytest.fixture
def standard() -> Path:
    if not any(STANDARD.glob("*/docbook/part03.xml")):
        pytest.skip(f"dicom-validator has no edition of the standard in {STANDARD}")
    return STANDARD


@pytest.mark.parametrize("kind", KINDS)
def test_dicom_validator_finds_no_error(
    standard: Path, tmp_path: Path, device: Device, kind: str
) -> None:
    images = [image for path in KINDS[kind](tmp_path) for image in image_readings(path)]
    objects = write_results(
        make_reading(images), device=device, directory=tmp_path / "out", kinds=ALL
    )
    module = "dicom_validator.validate_iods"
    command = [sys.executable, "-m", module, "-src", standard, "-e", "local"]
    done = subprocess.run(
        [*command, *(result.path for result in objects)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "SOP class is" in done.stdout + done.stderr, done.stderr
    assert done.returncode == 0, done.stdout
