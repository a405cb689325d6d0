"""What OHIF draws lies over the lesion: studies and results through an archive into a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from listener import store
from mediclip_dicom.results import Device, find, multiframe, write_results
from mediclip_dicom.results.picture import image_box
from mediclip_dicom.settings import PROFILES, ResultKind
from tests.conftest import leave_out
from tests.factories import modalities, sources
from tests.factories.readings import echoed, make_reading
from tests.system.orthanc import DICOMWEB, PROGRAM, Orthanc
from tests.viewers.site import ViewerSite

pytestmark = [pytest.mark.viewers, pytest.mark.timeout(600)]

FOLDER = Path(os.environ.get("MEDICLIP_VIEWERS", "no such folder"))
PICTURES = Path(os.environ.get("MEDICLIP_VIEWERS_OUT", FOLDER / "pictures"))
CHROMIUM = shutil.which("chromium")
ROWS, COLUMNS = 160, 128
DEVICE = Device(
    uid="2.25.314159", name="n", manufacturer="m", model="m", serial="1", software_version="0"
)


def lesion(rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    """An ellipse right of and below the middle, longer than wide: no flip or turn of it is it."""
    row, column = np.mgrid[0:rows, 0:columns]
    return ((row - 0.68 * rows) / (0.17 * rows)) ** 2 + (
        (column - 0.34 * columns) / (0.12 * columns)
    ) ** 2 < 1


@dataclass(frozen=True)
class Case:
    make: Callable[[Path], list[Path]]
    number: int


CASES = {
    "axial MR": Case(lambda f: sources.mr_series(f, rows=ROWS, columns=COLUMNS), 1),
    "CT": Case(lambda f: modalities.ct_series(f, rows=ROWS, columns=COLUMNS), 2),
    "multi-frame MR": Case(lambda f: [sources.enhanced_mr(f, rows=ROWS, columns=COLUMNS)], 3),
    "CR": Case(lambda f: [sources.computed_radiograph(f, rows=ROWS, columns=COLUMNS)], 4),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, ViewerSite]]:
    application = FOLDER / "ohif" / "package" / "dist"
    if not application.is_dir():
        pytest.skip("no viewer: make test-viewers fetches OHIF and runs this")
    if PROGRAM is None or not DICOMWEB.exists() or CHROMIUM is None:
        leave_out("needs the Debian packages orthanc, orthanc-dicomweb and chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        Orthanc(tmp_path_factory.mktemp("orthanc")) as archive,
        ViewerSite(application, archive.url) as viewer,
    ):
        yield archive, viewer


def answered(
    archive: Orthanc, folder: Path, case: Case, kinds: tuple[ResultKind, ...]
) -> tuple[str, dict[str, Path]]:
    """A study with a lesion and our results in the archive: its UID, and the results by kind."""
    study = f"{sources.STUDY_UID}.90.{case.number}.{len(kinds)}"
    paths = [
        modalities.change(
            path,
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.1",
            SOPInstanceUID=f"{study}.1.{number}",
            PatientID=f"VIEW-{case.number}-{len(kinds)}",
        )
        for number, path in enumerate(case.make(folder), start=1)
    ]
    for path in paths:
        paint_lesion(path)
    images = echoed(paths, "pad")
    reading = make_reading(images, study_content_digest=study)
    objects = write_results(reading, device=DEVICE, directory=folder / "out", kinds=kinds)
    wanted = {result.kind: result.path for result in objects if result.kind in kinds}
    store(archive.peer, [*paths, *wanted.values()])
    return study, wanted


def paint_lesion(path: Path, mask: np.ndarray | None = None) -> None:
    """The lesion bright on grey that fills the image, so that its edges show in the viewer."""
    modalities.paint(path, lesion() if mask is None else mask)
    dataset = dcmread(path)
    pixels = np.frombuffer(dataset.PixelData, dtype="<u2")
    dark, bright = (1000, 0) if dataset.PhotometricInterpretation == "MONOCHROME1" else (0, 1000)
    grey = 350 if dark == 0 else 650
    dataset.PixelData = np.where(pixels == bright, bright, grey).astype("<u2").tobytes()
    sources.write(dataset, path)


def run_script(script: str, viewer: ViewerSite, study: str, *arguments: Path | str) -> str:
    """Open a study in the viewer by a script of this folder; its output."""
    url = f"{viewer.url}/viewer?StudyInstanceUIDs={study}"
    done = subprocess.run(
        ["node", Path(__file__).parent / script, url, *arguments],
        env={**os.environ, "NODE_PATH": str(FOLDER / "modules")},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def look(viewer: ViewerSite, study: str, series: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The viewer's canvas before and after a series is loaded, as (height, width, 3) integers."""
    before, after = PICTURES / f"{name}-before.png", PICTURES / f"{name}.png"
    met = run_script("look.js", viewer, study, before, after, series, str(CHROMIUM))
    (PICTURES / f"{name}.json").write_text(json.dumps(json.loads(met), indent=1))
    pictures = []
    for path in (before, after):
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture.convert("RGB")).astype(int))
    return pictures[0], pictures[1]


def image_extent(canvas: np.ndarray) -> tuple[slice, slice]:
    """Where the image lies on the canvas: the rows and columns that are mostly grey.

    The viewer's own frame and letters are blue.
    """
    lit = (canvas.max(axis=-1) > 40) & (canvas.max(axis=-1) - canvas.min(axis=-1) < 15)
    return _longest_run(lit.mean(axis=1)), _longest_run(lit.mean(axis=0))


def _longest_run(share: np.ndarray) -> slice:
    """The longest stretch without a gap; the scroll bar beside the image is a short one."""
    edges = np.flatnonzero(np.diff(np.r_[False, share > 0.5 * share.max(), False]))
    begin, end = max(edges.reshape(-1, 2), key=lambda run: int(run[1] - run[0]))
    return slice(int(begin), int(end))


def is_warm(picture: np.ndarray) -> np.ndarray:
    """Pixels in the bands' colours, yellow to red; the viewer's own are blue."""
    return np.asarray(picture[..., 0] - picture[..., 2] > 40)


def overlap(canvas: np.ndarray, extent: tuple[slice, slice]) -> float:
    """Intersection over union of what is coloured and of the lesion, on the viewer's pixels."""
    coloured = is_warm(canvas[extent])
    height, width = coloured.shape
    expected = np.asarray(Image.fromarray(lesion()).resize((width, height)))
    return float((coloured & expected).sum() / (coloured | expected).sum())


@pytest.mark.parametrize("name", ["axial MR", "CT", "multi-frame MR"])
def test_the_segmentation_is_drawn_over_the_lesion(
    site: tuple[Orthanc, ViewerSite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "CT":  # as its size makes of a large one
        monkeypatch.setattr(multiframe, "DEFLATE_ABOVE_BYTES", 0)
    archive, viewer = site
    study, _ = answered(archive, tmp_path, CASES[name], PROFILES["viewer"])
    before, after = look(viewer, study, "anomaly map", name.replace(" ", "-"))
    extent = image_extent(before)
    nothing, found = overlap(before, extent), overlap(after, extent)
    print(f"{name}: overlap with the lesion {found:.3f} (before: {nothing:.3f})")
    assert nothing < 0.02
    assert found > 0.8


def test_a_click_on_a_segment_goes_to_the_slice_of_the_finding(
    site: tuple[Orthanc, ViewerSite], tmp_path: Path
) -> None:
    archive, viewer = site
    study = f"{sources.STUDY_UID}.91.1"
    paths = [
        modalities.change(
            path,
            StudyInstanceUID=study,
            SeriesInstanceUID=f"{study}.1",
            SOPInstanceUID=f"{study}.1.{number}",
            PatientID="VIEW-JUMP",
        )
        for number, path in enumerate(CASES["axial MR"].make(tmp_path), start=1)
    ]
    for number, path in enumerate(paths, start=1):
        paint_lesion(path, lesion() if number == 2 else np.zeros((ROWS, COLUMNS), dtype=bool))
    reading = make_reading(echoed(paths, "pad"), study_content_digest=study)
    objects = write_results(reading, device=DEVICE, directory=tmp_path / "out")
    store(archive.peer, [*paths, *(result.path for result in objects)])
    before, after = PICTURES / "jump-before.png", PICTURES / "jump.png"
    done = run_script(
        "jump.js", viewer, study, before, after, "anomaly map", "Finding 1", str(CHROMIUM)
    )
    met = json.loads(done)
    print(f"click on a segment: from {met['first']} to {met['jumped']}")
    (finding,) = find(reading).reported
    wanted = finding.key_image.header.instance_number
    assert not met["first"].startswith(f"I:{wanted}(")
    assert met["jumped"].startswith(f"I:{wanted}(")
    with Image.open(after) as picture:
        shown = np.asarray(picture.convert("RGB")).astype(int)
    assert is_warm(shown).mean() > 0.02


def test_a_radiograph_is_served_by_the_legacy_profile(
    site: tuple[Orthanc, ViewerSite], tmp_path: Path
) -> None:
    archive, viewer = site
    study, results = answered(archive, tmp_path, CASES["CR"], PROFILES["legacy"])
    picture = dcmread(results["SC"]).pixel_array.astype(int)
    box = image_box(ROWS, COLUMNS, lines=2, pixel_aspect=1.0)
    within = overlap(picture, (slice(box[1], box[3]), slice(box[0], box[2])))
    _, after = look(viewer, study, "fused pictures", "CR-legacy")
    shown = on_canvas(picture, after.shape[:2])
    coloured, drawn = is_warm(shown), is_warm(after)
    agreement = (coloured & drawn).sum() / (coloured | drawn).sum()
    print(f"CR, legacy: picture over lesion {within:.3f}, viewer over picture {agreement:.3f}")
    assert within > 0.8
    assert agreement > 0.8


def on_canvas(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture as a viewer fits it onto its canvas: as large as it goes, in the middle."""
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = round(picture.shape[0] * scale), round(picture.shape[1] * scale)
    resized = Image.fromarray(picture.astype(np.uint8)).resize((width, height))
    canvas = np.zeros((*size, 3), dtype=int)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(resized)
    return canvas


def test_what_ohif_does_with_a_segmentation_of_a_radiograph(
    site: tuple[Orthanc, ViewerSite], tmp_path: Path
) -> None:
    """docs/viewers.md says what comes of it; it must not be drawn in the wrong place."""
    archive, viewer = site
    study, _ = answered(archive, tmp_path, CASES["CR"], PROFILES["viewer"])
    before, after = look(viewer, study, "anomaly map", "CR-segmentation")
    met = json.loads((PICTURES / "CR-segmentation.json").read_text())
    found = overlap(after, image_extent(before)) if met["canvasLeft"] else 0.0
    print(f"CR, Segmentation: overlap with the lesion {found:.3f}, canvas: {met['canvasLeft']}")
    assert found < 0.02 or found > 0.8
