"""The demonstration from end to end: PACS, node, department, task, studies, results, picture."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, BackboneUnavailableError, get_preset
from listener import ListenerError, Peer, echo
from mediclip_dicom.analysis import open_maps
from mediclip_dicom.cli.display import (
    count_progress,
    fit_progress,
    make_table,
    progress_bars,
    score_text,
    verdict_text,
)
from mediclip_dicom.config import BackboneSettings, Settings, load_settings
from mediclip_dicom.database import Run, Study, StudyRevision, TaskVerdict, open_database
from mediclip_dicom.demo.department import make_department
from mediclip_dicom.demo.errors import DemoError
from mediclip_dicom.demo.overview import OverviewRow, draw_overview
from mediclip_dicom.demo.pacs import DemoPacs, free_port
from mediclip_dicom.demo.studies import DemoStudy
from mediclip_dicom.images import place, read_headers
from mediclip_dicom.pixels import iter_frames
from mediclip_dicom.registration import TaskRequest, register_from_paths
from mediclip_dicom.routing import Route
from mediclip_dicom.service import open_backbone

TASK = "brain-mr"
K = 8
NODE_START_LIMIT_S = 120.0
STUDY_LIMIT_S = 300.0
NODE_STOP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """What came back of one study; `returned` are the files read back from the PACS by kind."""

    study: DemoStudy
    verdict: str
    score: float | None
    seconds: float
    returned: dict[str, int]
    row: OverviewRow

    @property
    def complete(self) -> bool:
        """Whether the PACS holds a report, and a segmentation where the study is flagged."""
        flagged = self.verdict == "abnormal"
        return self.returned.get("SR", 0) >= 1 and (not flagged or self.returned.get("SEG", 0) >= 1)


def run_demo(settings: Settings, *, out: Path, seed: int) -> None:
    """Run the demonstration; see `mediclip-dicom demo --help`.

    Raises:
        DemoError: A study did not come back complete.
        DemoExtraMissingError: nilearn is not installed.
    """
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    backbone, backbone_settings = _backbone_or_fallback(settings.backbone, console)
    with tempfile.TemporaryDirectory(prefix="mediclip-demo-") as folder:
        root = Path(folder)
        node_port = free_port()
        with DemoPacs({settings.node.ae_title: ("127.0.0.1", node_port)}) as pacs:
            config = _write_config(
                root, settings, backbone_settings, node_port=node_port, pacs=pacs
            )
            node_settings = load_settings(config)
            with (
                _running_node(config, node_settings, log=out / "node.log"),
                progress_bars() as bars,
            ):
                studies = make_department(
                    root / "department",
                    seed=seed,
                    progress=count_progress(bars, "making the department"),
                )
                sessions = open_database(node_settings.database_url)
                rest = _register(sessions, studies, backbone, seed=seed, bars=bars)
                pacs.store([path for study in rest for path in study.paths])
                bar = bars.add_task("studies through the PACS", total=len(rest))
                outcomes = []
                for study in rest:
                    outcomes.append(_send_and_wait(study, pacs, sessions, node_settings, out=out))
                    bars.advance(bar)
    _report(console, outcomes, backbone, out)
    if missing := [o.study.name for o in outcomes if not o.complete]:
        raise DemoError(f"results of {', '.join(missing)} did not come back from the PACS")


def _backbone_or_fallback(
    settings: BackboneSettings, console: Console
) -> tuple[Backbone, BackboneSettings]:
    try:
        return open_backbone(settings), settings
    except BackboneUnavailableError as error:
        console.print(f"[yellow]{error}[/]", highlight=False)
        console.print("The demonstration goes on with a small untrained tower.")
        fallback = settings.model_copy(update={"weights": "untrained", "blocks": None})
        return open_backbone(fallback), fallback


def _write_config(
    root: Path, settings: Settings, backbone: BackboneSettings, *, node_port: int, pacs: DemoPacs
) -> Path:
    """JSON's strings, numbers and lists are TOML's, too."""
    sections = {
        "node": {
            "ae_title": settings.node.ae_title,
            "host": "127.0.0.1",
            "port": node_port,
            "calling_ae_titles": [pacs.ae_title, "DEMO"],
        },
        "storage": {"root": str(root / "node"), "min_free_mb": 256},
        "backbone": backbone.model_dump(mode="json", exclude_none=True),
        "gathering": {"quiet_period_s": 2.0},
    }
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items()), ""]
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
    lines += ["[[destinations]]", *(f"{k} = {json.dumps(v)}" for k, v in destination.items())]
    path = root / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def _running_node(config: Path, settings: Settings, *, log: Path) -> Iterator[None]:
    """`mediclip-dicom serve` in a process of its own, as an administrator starts it."""
    command = [sys.executable, "-m", "mediclip_dicom", "--config", str(config), "serve"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=_environment())
    try:
        _wait_until_it_answers(process, settings, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(NODE_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """Without overrides of ours: the generated file is the whole configuration."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MEDICLIP_")}


def _wait_until_it_answers(process: subprocess.Popen[bytes], settings: Settings, log: Path) -> None:
    node = settings.node
    peer = Peer(node.ae_title, "127.0.0.1", node.port, calling_ae_title="DEMO")
    deadline = time.monotonic() + NODE_START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            echo(peer)
        except ListenerError:
            time.sleep(0.5)
        else:
            return
    raise DemoError(f"the node did not start; its log is {log}")


def _register(
    sessions: sessionmaker[Session],
    studies: Sequence[DemoStudy],
    backbone: Backbone,
    *,
    seed: int,
    bars: Progress,
) -> list[DemoStudy]:
    support = [study for study in studies if study.label == "normal"][:K]
    request = TaskRequest(
        name=TASK,
        route=Route("MR"),
        preset=get_preset("default"),
        false_positive_rate=0.12,
        folds=4,
        images_per_study=12,
        seed=seed,
    )
    register_from_paths(
        sessions,
        [path for study in support for path in study.paths],
        request,
        backbone=backbone,
        fit_progress=fit_progress(bars),
    )
    return [study for study in studies if study not in support]


def _send_and_wait(
    study: DemoStudy,
    pacs: DemoPacs,
    sessions: sessionmaker[Session],
    settings: Settings,
    *,
    out: Path,
) -> StudyOutcome:
    begun = time.monotonic()
    uid = study.study_instance_uid
    pacs.send(uid, settings.node.ae_title)
    while time.monotonic() < begun + STUDY_LIMIT_S:
        with sessions() as session:
            run = session.scalar(
                select(Run)
                .join(StudyRevision)
                .join(Study)
                .where(Study.study_instance_uid == uid, Run.finished_at.is_not(None))
            )
            if run is not None:
                if not run.verdicts:
                    raise DemoError(f"study {study.name}: {run.state.value}, {run.reason}")
                verdict = run.verdicts[0]
                row = _overview_row(study, verdict, settings)
                break
        time.sleep(0.5)
    else:
        raise DemoError(f"study {study.name} was not answered within {STUDY_LIMIT_S:.0f} s")
    seconds = time.monotonic() - begun
    folder = out / study.name
    shutil.rmtree(folder, ignore_errors=True)
    returned = {
        kind: len(pacs.retrieve(uid, folder / kind, modalities={kind})) for kind in ("SR", "SEG")
    }
    return StudyOutcome(
        study=study,
        verdict=verdict.verdict,
        score=verdict.score,
        seconds=seconds,
        returned=returned,
        row=row,
    )


def _overview_row(study: DemoStudy, verdict: TaskVerdict, settings: Settings) -> OverviewRow:
    """One image of the study, with the map that the node kept of it.

    The highest-scored one; of a lesion that was missed, the one that shows most of it, so that
    the picture also shows what the node did not see.
    """
    images, _ = read_headers(study.paths)
    maps = open_maps(settings.storage.runs / verdict.run_id / f"{verdict.task_version_id}.npy")
    frames = [
        (image, frame) for image in images for frame in range(1, image.header.number_of_frames + 1)
    ]
    shown = int(maps.reshape(len(maps), -1).max(axis=1).argmax())
    if study.label == "abnormal" and verdict.verdict != "abnormal":
        areas = [study.truth_area(image.header.sop_instance_uid) for image, _ in frames]
        shown = max(range(len(frames)), key=areas.__getitem__) if any(areas) else shown
    image, number = frames[shown]
    frame = next(f for f in iter_frames(image.path) if f.number == number)
    mode = get_preset(verdict.task_version.preset).geometry
    return OverviewRow(
        name=study.name,
        label=study.label,
        image=frame.rgb,
        map=place(image.header, mode=mode).to_source(np.asarray(maps[shown])),
        truth=study.truth_mask(image.header.sop_instance_uid),
        verdict=verdict.verdict,
        score=verdict.score,
        operating_point=verdict.operating_point,
    )


def _report(
    console: Console, outcomes: Sequence[StudyOutcome], backbone: Backbone, out: Path
) -> None:
    table = make_table(None, "study", "truth", "score", "verdict", "seconds", "in the PACS")
    for outcome in outcomes:
        table.add_row(
            outcome.study.name,
            outcome.study.label,
            score_text(outcome.score),
            verdict_text(outcome.verdict),
            f"{outcome.seconds:.0f}",
            ", ".join(f"{count} {kind}" for kind, count in outcome.returned.items() if count),
        )
    table.caption = f"backbone: {backbone.name}" + (
        "" if backbone.trained else " (random weights, for demonstration only)"
    )
    console.print(table)
    picture = out / "overview.png"
    draw_overview([outcome.row for outcome in outcomes], picture, caption=table.caption)
    console.print(f"{picture} shows it; SEG and SR lie beside it. Not for diagnostic use.")
