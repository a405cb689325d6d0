"""Where the example files come from: pydicom's own, else the shared data that a site may lack."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file


@pytest.fixture
def shared_data() -> Path:
    default = Path(__file__).parents[3].parent / "shared" / "data"
    folder = Path(os.environ.get("MEDICLIP_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip("no shared data: set MEDICLIP_SHARED_DATA to its folder")
    return folder


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Finds a DICOM example by name; skips by name where only the shared data has it."""

    def find(name: str) -> Path:
        bundled = get_testdata_file(name, download=False)
        if isinstance(bundled, str):
            return Path(bundled)
        shared: Path = request.getfixturevalue("shared_data")
        found = shared / "dicom" / "pydicom-data" / name
        if not found.is_file():
            pytest.skip(f"the shared data has no {name}")
        return found

    return find
