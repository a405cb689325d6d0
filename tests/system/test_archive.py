"""Every kind of result goes into an archive by C-STORE and comes out by WADO-RS as it went in."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from listener import StoreCategory, store
from mediclip_dicom.results import Device, multiframe, write_results
from tests.conftest import leave_out
from tests.dciodvfy import errors_and_new_warnings
from tests.factories import modalities, sources
from tests.factories.readings import ALL, image_readings, make_reading
from tests.system.orthanc import DICOMWEB, PROGRAM, Orthanc

pytestmark = pytest.mark.system

DEVICE = Device(
    uid="2.25.314159", name="n", manufacturer="m", model="m", serial="1", software_version="0"
)
SOURCES: dict[str, Callable[[Path], list[Path]]] = {
    "MR": lambda f: sources.mr_series(f, orientation=sources.OBLIQUE),
    "enhanced MR": lambda f: [sources.enhanced_mr(f)],
    "CR": lambda f: [sources.computed_radiograph(f)],
    "MG": lambda f: [modalities.mammogram(f)],
    "multi-frame US": lambda f: [sources.ultrasound(f, frames=3)],
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    if PROGRAM is None or not DICOMWEB.exists():
        leave_out("Orthanc is not installed (Debian packages orthanc, orthanc-dicomweb)")
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.mark.parametrize("kind", SOURCES)
def test_what_went_in_by_c_store_comes_out_by_wado_rs(
    archive: Orthanc, dcmtk: Path, tmp_path: Path, kind: str
) -> None:
    paths = SOURCES[kind](tmp_path)
    images = [image for path in paths for image in image_readings(path)]
    reading = make_reading(images, study_content_digest=kind)
    objects = write_results(reading, device=DEVICE, directory=tmp_path / "out", kinds=ALL)
    outcomes = store(archive.peer, [*paths, *(result.path for result in objects)])
    assert {outcome.category for outcome in outcomes} == {StoreCategory.SUCCESS}
    for result in objects:
        sent = dcmread(result.path)
        returned = archive.retrieve(sent)
        assert returned == sent
        assert returned.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        if "FloatPixelData" in sent or "PixelData" in sent:
            assert np.array_equal(returned.pixel_array, sent.pixel_array)
        subprocess.run([dcmtk / "dcmdump", "-q", result.path], check=True, capture_output=True)


def test_a_deflated_segmentation_comes_out_too(
    archive: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiframe, "DEFLATE_ABOVE_BYTES", 0)
    paths = sources.mr_series(tmp_path, series=77)
    images = [image for path in paths for image in image_readings(path)]
    reading = make_reading(images, study_content_digest="deflated")
    objects = write_results(reading, device=DEVICE, directory=tmp_path / "out")
    (outcome,) = store(archive.peer, [objects[0].path])
    assert outcome.category is StoreCategory.SUCCESS
    sent = dcmread(objects[0].path)
    assert sent.file_meta.TransferSyntaxUID.is_deflated
    assert errors_and_new_warnings(objects[0].path) == []
    assert np.array_equal(archive.retrieve(sent).pixel_array, sent.pixel_array)
