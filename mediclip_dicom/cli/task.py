"""`mediclip-dicom task`: register, list, show, retire."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import (
    console,
    count_progress,
    escape_markup,
    fit_progress,
    local_time,
    make_table,
    progress_bars,
    score_text,
)
from mediclip_dicom.cli.options import WindowCommand, get_preset_option, parse_windows
from mediclip_dicom.settings import Crop

if TYPE_CHECKING:
    from mediclip_dicom.tasks import DecidingStudy, SupportSet, TaskVersionInfo, TaskVersionRow

OUTDATED = (
    "calibrated by the rule of an earlier release, which it keeps; register the task again for an "
    "operating point that holds better"
)

app = typer.Typer(no_args_is_help=True, help="Teach the node what normal looks like.")


@app.command(cls=WindowCommand)
def register(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the task, as in brain-mr.")],
    paths: Annotated[
        list[Path],
        typer.Argument(help="Files or folders of k normal studies: DICOM, or else pictures."),
    ],
    modality: Annotated[str, typer.Option(help="Modality (0008,0060) that the task reads: MR.")],
    body_part: Annotated[
        str | None, typer.Option(help="Only Body Part Examined (0018,0015) as this: BRAIN.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="Only View Position (0018,5101) as this: PA.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Only Series Description like this pattern: '*T1*'.")
    ] = None,
    exclude_series: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave out series like this pattern on purpose: '*MIP*'. May be repeated."
        ),
    ] = None,
    window: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|C,W",
            help="Fix the window: of a CT by name (lung, mediastinum, bone, brain, subdural, "
            "liver, abdomen), or centre and width, as in 40,80. Repeat for several: each is a pass "
            "of its own, and a pixel takes the highest of them.",
        ),
    ] = None,
    crop: Annotated[
        Crop | None, typer.Option(help="Show the detector the box around the body alone.")
    ] = None,
    tiles: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4,
            help="Enlarge the image so many times and show it in overlapping tiles, for small "
            "things in radiographs: 2 makes 9 passes an image, 3 25, 4 49.",
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="How it is fitted: default, quick, paper or official.")
    ] = None,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(help="Share of normal studies that may be flagged, 0 to 1.", min=0, max=1),
    ] = None,
    images_per_study: Annotated[
        int | None, typer.Option(help="At most so many images of each study.", min=1)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw.")] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Take PNG, JPEG, TIFF and BMP among DICOM, too.")
    ] = False,
) -> None:
    """Register a task from k normal studies: 4 to 32 are usual.

    The task is fitted, calibrated on normals that it did not see, and active at once: a running
    node uses it from the next study on. Registering a name again makes a new version and retires
    the one before. The default false-positive rate needs 8 normal studies. Where the studies can't
    promise the rate asked for, nothing is fitted and the exit code is 3. Before the fit it shows
    what was taken and what was left out, and why. Each picture is a study of its own; pictures are
    taken where the paths hold no DICOM, or with --pictures.

    Example: `mediclip-dicom task register brain-mr --modality MR --body-part BRAIN normals/`
    """
    from mediclip_dicom.database import open_database
    from mediclip_dicom.tasks import Route, TaskRequest, open_backbone, register_from_paths

    settings = settings_of(context)
    defaults = settings.tasks
    request = TaskRequest(
        name=name,
        route=Route(
            modality, body_part, view, series, tuple(exclude_series or defaults.exclude_series)
        ),
        windows=parse_windows(window or ()),
        crop=(crop or defaults.crop) == "body",
        tiles=tiles or defaults.tiles,
        preset=get_preset_option(preset or defaults.preset),
        false_positive_rate=(
            defaults.false_positive_rate if false_positive_rate is None else false_positive_rate
        ),
        folds=defaults.folds,
        images_per_study=images_per_study or defaults.images_per_study,
        seed=defaults.seed if seed is None else seed,
    )
    sessions = open_database(settings.database_url)
    backbone = open_backbone(settings.backbone)
    with progress_bars() as progress:
        registered = register_from_paths(
            sessions,
            paths,
            request,
            backbone=backbone,
            pictures=pictures,
            read=_print_support,
            reading_progress=count_progress(progress, "reading studies"),
            fit_progress=fit_progress(progress),
        )
    console.print(
        f"task {name} version {registered.version.number} is active: {registered.images} images of "
        f"{registered.version.k} normal studies, {escape_markup(request.route)}"
    )
    if registered.passes > 1:
        console.print(
            f"each image takes {registered.passes} passes of the backbone, in the fit and in use"
        )
    point = registered.version.operating_point
    console.print(
        f"operating point {score_text(point.threshold)}: about {point.false_positive_rate:.1%} of "
        f"normal studies like these are flagged ({_rule_text(registered.version)})"
    )
    deciding = registered.version.calibration.deciding
    if deciding is not None:
        console.print(escape_markup(f"decided by {_deciding_text(deciding)}"), highlight=False)


def _print_support(support: "SupportSet") -> None:
    pictures = f", {support.pictures} of them pictures" if support.pictures else ""
    console.print(
        f"taken: {len(support.items)} images of {support.k} normal studies{pictures}",
        highlight=False,
    )
    # Not by their names, in which there may be a patient's.
    for reason, count in Counter(skipped.reason for skipped in support.left_out).most_common():
        console.print(
            f"[yellow]left out:[/] {count} files: {escape_markup(reason)}", highlight=False
        )


@app.command("list")
def list_tasks(context: typer.Context) -> None:
    """List the tasks and their active versions."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.tasks import list_tasks as read_tasks

    with open_database(settings_of(context).database_url)() as session:
        tasks = read_tasks(session)
    if not tasks:
        console.print("no task is registered; see mediclip-dicom task register --help")
        return
    table = make_table(None, "task", "reads", "version", "k", "preset", "backbone", "registered")
    for task in tasks:
        route = task.route
        reads = ", ".join(
            filter(None, (route.modality, route.body_part, route.view, route.series_description))
        )
        if task.active is None:
            table.add_row(task.name, escape_markup(reads), "retired", "", "", "", "")
            continue
        version = task.active.info
        table.add_row(
            task.name,
            escape_markup(reads),
            str(version.number),
            str(version.k),
            version.preset,
            version.backbone,
            local_time(task.active.created_at),
        )
    console.print(table)
    for task in tasks:
        if task.active is not None and task.active.info.calibration.outdated:
            console.print(f"[yellow]{task.name}:[/] {OUTDATED}", highlight=False)


@app.command()
def show(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the task.")]
) -> None:
    """Show every version of a task: what it was fitted on and what it promises."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.tasks import list_versions

    with open_database(settings_of(context).database_url)() as session:
        versions = list_versions(session, name)
    for version in versions:
        table = make_table(f"{name} version {version.info.number}", "", "")
        table.show_header = False
        for key, value in _describe(version).items():
            if value:
                table.add_row(key, escape_markup(value))
        console.print(table)


def _describe(version: "TaskVersionRow") -> dict[str, str | None]:
    info = version.info
    route, point = info.definition.route, info.operating_point
    deciding = info.calibration.deciding
    return {
        "state": version.state.value,
        "reads": route.modality,
        "body part": route.body_part,
        "view": route.view,
        "series description": route.series_description,
        "without series": ", ".join(route.excluded_series),
        "windows": ", ".join(map(str, info.definition.windows)),
        "crop": "to the body" if info.definition.crop else None,
        "tiles": _tiles_text(info),
        "passes per image": str(info.preparation.passes),
        "preset": info.preset,
        "backbone": f"{info.backbone} ({info.backbone_sha256[:12]})",
        "weights": info.weights_sha256[:12],
        "support set": f"{info.k} studies, {version.support_images} images",
        "scores of the normals": ", ".join(map(score_text, sorted(point.normal_scores))),
        "false-positive rate": f"{point.false_positive_rate:.1%} asked, "
        f"{point.floor:.1%} is the least that k = {info.k} can promise",
        "rule": _rule_text(info),
        "operating point": score_text(point.threshold) or "none: uncalibrated, never flags",
        "decided by": None if deciding is None else _deciding_text(deciding),
        "note": OUTDATED if info.calibration.outdated else None,
        "seed": str(version.seed),
        "registered": local_time(version.created_at),
    }


def _tiles_text(info: "TaskVersionInfo") -> str | None:
    times = info.definition.tiles
    if times == 1:
        return None
    return f"{(2 * times - 1) ** 2} of each image, enlarged {times} times"


def _rule_text(info: "TaskVersionInfo") -> str:
    calibration = info.calibration
    folds = "" if calibration.folds is None else f", {calibration.folds} folds"
    beyond = ", extrapolated" if calibration.extrapolated else ""
    return f"{calibration.rule}{folds}{beyond}"


def _deciding_text(deciding: "DecidingStudy") -> str:
    frame = f" frame {deciding.frame}" if deciding.frame > 1 else ""
    without = score_text(deciding.threshold_without) or "none, too few for the rate"
    return (
        f"normal study {deciding.number} ({deciding.study}), image {deciding.image}{frame}: score "
        f"{score_text(deciding.score)}, {score_text(deciding.gap)} above the next; operating "
        f"point without it: {without}"
    )


@app.command()
def retire(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Name of the task.")]
) -> None:
    """Stop using a task; what it has read stays. Register it again to bring it back."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.tasks import retire_task

    retire_task(open_database(settings_of(context).database_url), name)
    console.print(f"task {name} is retired")
