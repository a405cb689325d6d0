"""The node as a device, and the checks of result objects against the standard."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mediclip_dicom.results import Device
from tests.dciodvfy import errors, errors_and_new_warnings


@pytest.fixture
def device() -> Device:
    return Device(
        uid="2.25.314159",
        name="mediclip-dicom test node",
        manufacturer="mediclip-dicom",
        model="mediclip-dicom",
        serial="1",
        software_version="0.1.0",
    )


@pytest.fixture
def dciodvfy_errors() -> Callable[[Path], list[str]]:
    """The lines in which dciodvfy finds an error in a file."""
    return errors


@pytest.fixture
def dciodvfy_lines() -> Callable[[Path], list[str]]:
    """The lines in which dciodvfy finds an error, or a warning that is not known to be none."""
    return errors_and_new_warnings
