"""Pictures of docs/pictures: one of each kind of result, from synthetic data.

    python bench/pictures.py [--out docs/pictures] [--viewer .viewers/pictures/jump-page.png]

Makes the demonstration's synthetic brains (needs nilearn, as `mediclip-dicom demo` does), registers
a task on eight of them with the backbone in the box, has the node's own steps read an abnormal one,
and saves what the node writes or draws: the Secondary Capture, `render --finding 1`, the overview
of the demonstration, and `reliability.png` of `evaluate` on synthetic thorax slices. OHIF's picture
is that of `make test-viewers`, which is given by name. All are made small enough for a page.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ai_core import get_preset, load_backbone
from listener import Spool
from mediclip_dicom.cli.demo.department import make_department
from mediclip_dicom.cli.demo.overview import OverviewRow, draw_overview
from mediclip_dicom.cli.demo.studies import DemoStudy
from mediclip_dicom.database import open_database
from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.results import Reading, source_map
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, Scoring, newest_reading, stored_reading
from mediclip_dicom.tasks import DetectorStore, Route, TaskRequest, register_from_paths
from tests.factories.command_line import write_config
from tests.factories.received import receive
from tests.factories.thorax_ct import thorax_study

K = 8
WIDEST, QUALITY = 800, 82


def main() -> None:
    """Make the pictures, and print where they are and how large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--viewer", type=Path, help="OHIF's picture, of make test-viewers")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        draw_node(Path(name), asked.out)
        draw_reliability(Path(name), asked.out)
    if asked.viewer is not None:
        save(asked.viewer, asked.out / "ohif.jpg")
    for path in sorted(asked.out.iterdir()):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def draw_node(folder: Path, out: Path) -> None:
    """Read two studies as the node does, and draw what it shows of them."""
    settings = Settings.model_validate(
        {
            "storage": {"root": folder / "node", "min_free_mb": 1},
            "backbone": {"model": "bundled", "weights": "bundled", "device": "cpu"},
            "destinations": [
                {
                    "name": "pacs",
                    "ae_title": "PACS",
                    "host": "127.0.0.1",
                    "port": 104,
                    "results": ["SR", "SEG", "SC"],
                }
            ],
        }
    )
    department = make_department(folder / "department", seed=0, normal=K + 1, abnormal=2)
    normal = department.of("normal")
    sessions = open_database(settings.database_url)
    backbone = load_backbone(weights="bundled", device="cpu")
    request = TaskRequest(
        name=department.task,
        route=Route(department.modality),
        preset=get_preset("default"),
        false_positive_rate=0.12,
        folds=2,
        images_per_study=12,
        seed=0,
    )
    support = [path for study in normal[:K] for path in study.paths]
    register_from_paths(sessions, support, request, backbone=backbone)
    detectors = DetectorStore(sessions, backbone)
    rows = []
    with Spool(settings.storage.spool) as spool:
        for study in (*normal[K:], *department.of("abnormal")):
            for path in study.paths:
                receive(spool, path)
            intake = Intake(settings, sessions, spool)
            run_id = intake.route(intake.take_revision(study.study_instance_uid))
            scoring = Scoring(settings, sessions, detectors)
            for version_id in scoring.task_versions(run_id):
                scoring.score(run_id, version_id)
                scoring.write(run_id, version_id)
            with sessions() as session:
                found = newest_reading(session, study.study_instance_uid)
                reading = stored_reading(session, settings, *found.sources[0])
            rows.append(overview_row(study, reading))
            objects = [dcmread(settings.storage.results / path) for path in found.objects]
            captures = [dataset for dataset in objects if dataset.Modality == "OT"]
            if captures:  # of the last abnormal study in the end
                Image.fromarray(captures[0].pixel_array).save(folder / "sc.png")
                save(folder / "sc.png", out / "secondary-capture.jpg")
            if captures and not (folder / "finding.png").exists():
                config = write_config(settings, folder / "node.toml")
                command("--config", config, "render", study.study_instance_uid, "--finding", "1",
                        "--out", folder / "finding.png")  # fmt: skip
                save(folder / "finding.png", out / "finding.jpg")
    draw_overview(rows, folder / "overview.png", caption="synthetic brains, backbone in the box")
    save(folder / "overview.png", out / "overview.jpg")


def overview_row(study: DemoStudy, reading: Reading) -> OverviewRow:
    """The image of the highest score, as in the demonstration."""
    shown = reading.leading_image
    assert shown is not None
    frame = next(f for f in iter_frames(shown.path) if f.number == shown.frame_number)
    return OverviewRow(
        name=study.name,
        label=study.label,
        image=frame.rgb,
        map=source_map(shown),
        truth=study.truth_mask(shown.header.sop_instance_uid),
        verdict=reading.verdict,
        score=reading.score,
        operating_point=reading.operating_point,
    )


def draw_reliability(folder: Path, out: Path) -> None:
    """Evaluate on slices of synthetic thorax studies, one of each, by the command."""
    for lesion, count, label in ((False, 40, "normal"), (True, 16, "abnormal")):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(count):
            slices = thorax_study(number + 100 * lesion, slices=12, lesion=lesion)
            middle = slices[5] if not lesion else slices[(slices[:, 0] > 0.7).sum((1, 2)).argmax()]
            grey = np.rint(middle[0].numpy() * 255).astype(np.uint8)
            Image.fromarray(grey).save(folder / "pictures" / label / f"{number:02d}.png")
    command("evaluate", "--data", folder / "pictures", "--model", "bundled", "--weights", "bundled",
            "--preset", "quick", "--k", "12", "--seeds", "0,1", "--no-baselines",
            "--out", folder / "figures")  # fmt: skip
    save(folder / "figures" / "reliability.png", out / "reliability.png")


def command(*arguments: object) -> None:
    """Run a command of the node in a process of its own."""
    code = "from mediclip_dicom.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


def save(source: Path, path: Path) -> None:
    """Save a picture at most `WIDEST` pixels wide, as JPEG or PNG by the name of the file."""
    with Image.open(source) as image:
        picture = image.convert("RGB")
    if picture.width > WIDEST:
        height = round(picture.height * WIDEST / picture.width)
        picture = picture.resize((WIDEST, height), Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        picture.save(path, quality=QUALITY, optimize=True)
    else:
        picture.quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
