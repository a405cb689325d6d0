"""`mediclip-dicom demo` as a user types it, on pictures of the user's own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from tests.dciodvfy import errors

K, SENT = 4, 1
LIMIT_S = 840


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy discs; the abnormal one has a bright spot."""
    data = tmp_path_factory.mktemp("pictures")
    rows, columns = np.mgrid[:160, :120]
    disc = ((rows - 80) / 70) ** 2 + ((columns - 60) / 50) ** 2 < 1
    spot = (rows - 60) ** 2 + (columns - 70) ** 2 < 12**2
    for label, count in (("normal", K + SENT), ("abnormal", SENT)):
        (data / label).mkdir()
        for number in range(count):
            noise = np.random.default_rng([number, len(label)]).normal(0, 6, disc.shape)
            grey = disc * 110.0 + spot * (label == "abnormal") * 140 + noise
            Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).save(
                data / label / f"{number}.png"
            )
    return data


def demo(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mediclip_dicom", "demo", *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MEDICLIP_")}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | {"COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.timeout(LIMIT_S + 30)
def test_pictures_go_through_pacs_and_node_and_come_back(pictures: Path, tmp_path: Path) -> None:
    result = demo(tmp_path, "--data", str(pictures), "--k", str(K), "--studies", str(SENT))
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("normal 05", "abnormal 01"):
        assert name in result.stdout
        (report,) = (tmp_path / "demo-out" / name / "SR").glob("*.dcm")
        assert "backbone=bundled" in _parameters(report)
    objects = sorted((tmp_path / "demo-out").rglob("*.dcm"))
    assert {path.parent.name for path in objects} >= {"SR"}
    assert {path: found for path in objects if (found := errors(path))} == {}
    with Image.open(tmp_path / "demo-out" / "overview.png") as picture:
        picture.load()
        assert picture.width > 800
        assert picture.height > 400


def test_too_few_normal_studies_end_it_before_anything_starts(
    pictures: Path, tmp_path: Path
) -> None:
    result = demo(tmp_path, "--data", str(pictures), "--k", "8")
    assert result.returncode == 1
    assert "8 make the support set (--k)" in " ".join((result.stdout + result.stderr).split())


def _parameters(path: Path) -> str:
    """Every text of the report."""
    return "\n".join(
        str(element.value) for element in dcmread(path).iterall() if element.keyword == "TextValue"
    )
