"""What the log holds, and what it never does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from listener.errors import PeerUnreachableError
from mediclip_dicom.errors import DeliveryError
from mediclip_dicom.studies import reason_of

COMPLAINT = """
import logging
from pydicom import Dataset
{setup}
dataset = Dataset()
dataset.PatientBirthDate = "Zanzibar"
dataset.PatientAge = "Zanzibar"
logging.getLogger("pydicom").error("Zanzibar")
print("done")
"""
SETUP = """
from mediclip_dicom.settings.settings import LoggingSettings
from mediclip_dicom.node import configure_logging
configure_logging(LoggingSettings(level="DEBUG", format="json"))
"""


def _stderr_of(setup: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", COMPLAINT.format(setup=setup)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert ended.stdout == "done\n"
    return ended.stderr


def test_what_a_library_complains_of_is_not_in_the_log() -> None:
    assert "Zanzibar" in _stderr_of(""), "without our logging it is: the test tests something"
    assert "Zanzibar" not in _stderr_of(SETUP)


def test_our_errors_say_what_is_wrong_and_those_of_others_only_their_kind() -> None:
    assert reason_of(DeliveryError("refused 1 of 2")) == "refused 1 of 2"
    assert reason_of(PeerUnreachableError("PACS can't be reached")) == "PACS can't be reached"
    assert reason_of(ValueError("invalid name Zanzibar")) == "ValueError"
    assert reason_of(PermissionError(13, "Permission denied", "Zanzibar.dcm")) == (
        "PermissionError: Permission denied"
    )
