"""Demonstration from end to end: PACS, node, department, task, studies, results, picture."""

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from ai_core import Backbone, BackboneUnavailableError, get_preset
from ai_core.backbone import BUNDLED, UNTRAINED
from mediclip_dicom.cli.demo.department import make_department, make_thorax_department
from mediclip_dicom.cli.demo.errors import DemoDataError, DemoError
from mediclip_dicom.cli.demo.node_process import running_node, write_config
from mediclip_dicom.cli.demo.overview import OverviewRow, draw_overview
from mediclip_dicom.cli.demo.own_data import read_own_data
from mediclip_dicom.cli.demo.pacs import DemoPacs, free_port
from mediclip_dicom.cli.demo.studies import DemoStudy, Department
from mediclip_dicom.cli.display import (
    count_progress,
    fit_progress,
    make_table,
    progress_bars,
    score_text,
    verdict_text,
)
from mediclip_dicom.database import Sessions, open_database
from mediclip_dicom.errors import StudyNotFoundError
from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.results import (
    Reading,
    describe_size,
    describe_slices,
    find,
    source_map,
)
from mediclip_dicom.settings import BackboneSettings, Settings, load_settings
from mediclip_dicom.studies import RunDetails, get_study, newest_reading, stored_reading
from mediclip_dicom.tasks import Route, TaskRequest, open_backbone, register_from_paths

FOLDS = 3
PRESET = "quick"
BRAINS, CHESTS = 4, 2
"""Normal studies that are made beyond the support set, and abnormal ones."""

STUDY_LIMIT_S = 300.0

_BACKBONE_NOTES = {
    UNTRAINED: " (random weights, for demonstration only)",
    BUNDLED: " (the small one in the box)",
}


@dataclass(frozen=True, slots=True)
class StudyOutcome:
    """Results of one study; `returned` counts the files read back from the PACS by kind."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRequest:
    """Arguments of `mediclip-dicom demo`.

    Attributes:
        data: folder with the user's own `normal/` and `abnormal/`; None for a made department.
        out: folder for the picture, SEG and SR.
        k: normal studies that the task is registered from.
        studies: at most so many of the remaining normal, and of the abnormal, go through the PACS.
        seed: of every random draw.
    """

    data: Path | None
    out: Path
    k: int
    studies: int
    seed: int


def run_demo(settings: Settings, request: DemoRequest) -> None:
    """Run the demonstration; see `mediclip-dicom demo --help`.

    Raises:
        DemoError: a study did not come back complete.
        DemoDataError: the user's own folder does not hold what is needed.
        DemoExtraMissingError: nilearn is not installed.
    """
    console = Console()
    out = request.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mediclip-demo-") as folder, progress_bars() as bars:
        root = Path(folder)
        departments = _departments(request, root / "department", bars)
        splits = [(department, *_split(department, request)) for department in departments]
        sent = tuple(study for _, _, rest in splits for study in rest)
        backbone, backbone_settings = _choose_backbone(settings.backbone, bars.console)
        node_port = free_port()
        with DemoPacs({settings.node.ae_title: ("127.0.0.1", node_port)}) as pacs:
            config = write_config(root, settings, backbone_settings, node_port=node_port, pacs=pacs)
            node_settings = load_settings(config)
            with running_node(config, node_settings, log=out / "node.log"):
                sessions = open_database(node_settings.database_url)
                for department, support, _ in splits:
                    _register(sessions, department, support, backbone, seed=request.seed, bars=bars)
                pacs.store([path for study in sent for path in study.paths])
                outcomes = _send_and_wait(sent, pacs, sessions, node_settings, out=out, bars=bars)
    _report(console, outcomes, backbone, out)
    if missing := [o.study.name for o in outcomes if not o.complete]:
        raise DemoError(f"results of {', '.join(missing)} did not come back from the PACS")


def _departments(request: DemoRequest, directory: Path, bars: Progress) -> tuple[Department, ...]:
    if request.data is not None:
        return (read_own_data(request.data, directory, seed=request.seed),)
    progress = count_progress(bars, "making brain MR studies")
    brains = make_department(
        directory, seed=request.seed, normal=request.k + BRAINS, abnormal=BRAINS, progress=progress
    )
    progress = count_progress(bars, "making thorax CT studies")
    chests = make_thorax_department(
        directory, seed=request.seed, normal=request.k + CHESTS, abnormal=CHESTS, progress=progress
    )
    return brains, chests


def _split(
    department: Department, request: DemoRequest
) -> tuple[tuple[DemoStudy, ...], tuple[DemoStudy, ...]]:
    """Return the support set, and the studies for the PACS: normal ones, then abnormal ones."""
    normal, abnormal = department.of("normal"), department.of("abnormal")
    if len(normal) <= request.k:
        raise DemoDataError(
            f"{len(normal)} normal studies are there; {request.k} make the support set (--k), and "
            "at least one more is needed to be sent to the node"
        )
    rest = normal[request.k :][: request.studies] + abnormal[: request.studies]
    return normal[: request.k], rest


def _choose_backbone(
    settings: BackboneSettings, console: Console
) -> tuple[Backbone, BackboneSettings]:
    """Open the configured backbone, or the bundled one if none is configured or available."""
    box = settings.model_copy(update={"weights": BUNDLED, "blocks": None})
    if not {"model", "weights"} & settings.model_fields_set:
        return open_backbone(box), box
    try:
        return open_backbone(settings), settings
    except BackboneUnavailableError as error:
        console.print(Text(str(error), style="yellow"))
        console.print("The demonstration goes on with the small backbone in the box.")
        return open_backbone(box), box


def _register(
    sessions: Sessions,
    department: Department,
    support: Sequence[DemoStudy],
    backbone: Backbone,
    *,
    seed: int,
    bars: Progress,
) -> None:
    request = TaskRequest(
        name=department.task,
        route=Route(department.modality),
        preset=get_preset(PRESET),
        # The lowest that counting k normal studies can promise.
        false_positive_rate=1 / (len(support) + 1) + 0.01,
        folds=FOLDS,
        images_per_study=12,
        seed=seed,
    )
    registered = register_from_paths(
        sessions,
        [path for study in support for path in study.paths],
        request,
        backbone=backbone,
        fit_progress=fit_progress(bars),
    )
    for reason, count in registered.left_out:
        bars.console.print(Text(f"{count} left out of the support set: {reason}", style="yellow"))


def _send_and_wait(
    studies: Sequence[DemoStudy],
    pacs: DemoPacs,
    sessions: Sessions,
    settings: Settings,
    *,
    out: Path,
    bars: Progress,
) -> list[StudyOutcome]:
    """Send the studies one after the other, as a PACS routes them, and wait for all results."""
    bar = bars.add_task("studies through the PACS", total=len(studies))
    sent: dict[str, datetime] = {}
    for study in studies:
        sent[study.name] = datetime.now(UTC)
        pacs.send(study.study_instance_uid, settings.node.ae_title)
    outcomes: dict[str, StudyOutcome] = {}
    while waiting := [study for study in studies if study.name not in outcomes]:
        time.sleep(0.5)
        for study in waiting:
            outcome = _outcome(study, sent[study.name], pacs, sessions, settings, out=out)
            if outcome is not None:
                outcomes[study.name] = outcome
                bars.advance(bar)
            elif (datetime.now(UTC) - sent[study.name]).total_seconds() > STUDY_LIMIT_S:
                raise DemoError(f"study {study.name} was not answered within {STUDY_LIMIT_S:.0f} s")
    return [outcomes[study.name] for study in studies]


def _outcome(
    study: DemoStudy,
    sent: datetime,
    pacs: DemoPacs,
    sessions: Sessions,
    settings: Settings,
    *,
    out: Path,
) -> StudyOutcome | None:
    """Collect the results of a study that was sent at this moment; None if there are none yet."""
    uid = study.study_instance_uid
    run = _finished_run(sessions, uid)
    if run is None or run.finished_at is None:
        return None
    if not run.verdicts:
        raise DemoError(f"study {study.name}: {run.state.value}, {run.reason}")
    with sessions() as session:
        found = newest_reading(session, uid)
        reading = stored_reading(session, settings, *found.sources[0])
    folder = out / study.name
    shutil.rmtree(folder, ignore_errors=True)
    returned = {
        kind: len(pacs.retrieve(uid, folder / kind, modalities={kind})) for kind in ("SR", "SEG")
    }
    return StudyOutcome(
        study=study,
        verdict=reading.verdict,
        score=reading.score,
        seconds=(run.finished_at - sent).total_seconds(),
        returned=returned,
        row=_overview_row(study, reading),
    )


def _finished_run(sessions: Sessions, study_uid: str) -> RunDetails | None:
    try:
        with sessions() as session:
            study = get_study(session, study_uid)
    except StudyNotFoundError:
        return None
    return next((run for run in study.runs if run.finished_at is not None), None)


def _overview_row(study: DemoStudy, reading: Reading) -> OverviewRow:
    """Choose one image of the study, and the map that the node kept of it.

    The highest-scored one; of a lesion that was missed, the one that shows most of it, so that
    the picture also shows what the node did not see.
    """
    shown = reading.leading_image
    if study.label == "abnormal" and reading.verdict != "abnormal":
        scored = [image for image in reading.images if image.score is not None]
        largest = max(
            scored, key=lambda image: study.truth_area(image.header.sop_instance_uid), default=None
        )
        if largest is not None and study.truth_area(largest.header.sop_instance_uid):
            shown = largest
    if shown is None:
        raise DemoError(f"study {study.name}: no image could be scored")
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
        finding=_first_finding(reading),
    )


def _first_finding(reading: Reading) -> str | None:
    """Describe size and slices of the finding that ranks first; None where there is none."""
    reported = find(reading).reported
    return f"{describe_size(reported[0])}, {describe_slices(reported[0])}" if reported else None


def _report(
    console: Console, outcomes: Sequence[StudyOutcome], backbone: Backbone, out: Path
) -> None:
    table = make_table(
        None, "study", "truth", "score", "verdict", "first finding", "seconds", "in the PACS"
    )
    for outcome in outcomes:
        table.add_row(
            outcome.study.name,
            outcome.study.label,
            score_text(outcome.score),
            verdict_text(outcome.verdict),
            outcome.row.finding or "",
            f"{outcome.seconds:.0f}",
            ", ".join(f"{count} {kind}" for kind, count in outcome.returned.items() if count),
        )
    table.caption = f"backbone: {backbone.name}" + _BACKBONE_NOTES.get(backbone.weights, "")
    console.print(table)
    picture = out / "overview.png"
    draw_overview([outcome.row for outcome in outcomes], picture, caption=table.caption)
    console.print(
        f"{picture} shows the results; SEG and SR are in the same folder. Not for diagnostic use."
    )
