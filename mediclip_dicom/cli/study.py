"""`mediclip-dicom study`: list, show and complete studies that the node has received."""

from typing import TYPE_CHECKING, Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import (
    console,
    escape_markup,
    local_time,
    make_table,
    p_value_text,
    score_text,
    verdict_text,
)

if TYPE_CHECKING:
    from mediclip_dicom.studies import FindingRows, RunDetails

app = typer.Typer(no_args_is_help=True, help="Studies that the node has received, and its results.")


@app.command("list")
def list_studies(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest first.")] = 50,
) -> None:
    """List studies with the verdict on their newest revision."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.studies import list_studies as read_studies

    with open_database(settings_of(context).database_url)() as session:
        page = read_studies(session, limit=limit)
    if not page.total:
        console.print("no study has been received yet")
        return
    table = make_table(None, "study", "received", "revision", "images", "state", "task", "verdict")
    for study in page.rows:
        row = [
            study.study_uid,
            local_time(study.received_at),
            str(study.revision),
            str(study.instances),
        ]
        if not study.runs:
            table.add_row(*row, "gathered", "", "")
        for run in study.runs:
            tasks = [verdict.task for verdict in run.verdicts]
            verdicts = [verdict_text(verdict.verdict) for verdict in run.verdicts]
            table.add_row(*row, run.state.value, "\n".join(tasks), "\n".join(verdicts))
    console.print(table)
    if page.total > limit:
        console.print(f"{page.total - limit} older studies are not shown; see --limit")


@app.command()
def show(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Study Instance UID (0020,000D).")],
) -> None:
    """Show every run of a study: verdicts, findings, scores, result objects, deliveries."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.studies import get_study

    with open_database(settings_of(context).database_url)() as session:
        study = get_study(session, study_instance_uid)
    for run in study.runs:
        _print_run(run)
    if not study.runs:
        console.print("the study is gathered and waits for its turn")


def _print_run(run: "RunDetails") -> None:
    console.print(
        f"[bold]revision {run.revision}[/], run {run.run_id[:12]}: {run.state.value}"
        + (f" ({escape_markup(run.reason)})" if run.reason else "")
    )
    if run.set_aside:
        console.print(
            f"{run.set_aside} other contents under the same SOP Instance UIDs set aside "
            "(see [gathering] same_uid)",
            markup=False,
            highlight=False,
        )
    _print_verdicts(run)
    unscored = sum(count for _, count in run.skipped)
    console.print(f"{run.scored} images scored, {unscored} not")
    for reason, count in run.skipped:
        console.print(f"  {count} not scored: {escape_markup(reason)}", highlight=False)
    _print_results(run)


def _print_verdicts(run: "RunDetails") -> None:
    table = make_table(None, "task", "version", "verdict", "score", "operating point", "p-value")
    for verdict in run.verdicts:
        table.add_row(
            verdict.task,
            str(verdict.version),
            verdict_text(verdict.verdict),
            score_text(verdict.score),
            score_text(verdict.operating_point),
            p_value_text(verdict.p_value, extrapolated=verdict.extrapolated),
        )
    if run.verdicts:
        console.print(table)
    for verdict in run.verdicts:
        if verdict.read_in_run_id is not None:
            console.print(
                f"{escape_markup(verdict.task)} read these images in run "
                f"{verdict.read_in_run_id[:12]}; its objects are there",
                highlight=False,
            )
        if verdict.findings is not None and verdict.findings.reported:
            _print_findings(verdict.task, verdict.findings)


def _print_findings(task: str, findings: "FindingRows") -> None:
    table = make_table(
        f"findings of {task}",
        "finding",
        "size",
        "diameters",
        "where",
        "key image",
        "peak",
        "p-value",
    )
    for row in findings.reported:
        diameters = (
            f"{row.longest_mm:.0f} x {row.perpendicular_mm:.0f} mm"
            if row.longest_mm is not None and row.perpendicular_mm is not None
            else ""
        )
        table.add_row(
            str(row.number),
            row.size,
            diameters,
            row.slices,
            f"{row.key_sop_uid} frame {row.key_frame}, row {row.row}, column {row.column}",
            score_text(row.peak),
            p_value_text(row.p_value, extrapolated=row.extrapolated),
        )
    console.print(table)
    _print_normals(findings)
    if findings.further or findings.specks:
        console.print(f"{findings.further} further findings, {findings.specks} specks")


def _print_normals(findings: "FindingRows") -> None:
    """Print the nearest normal patch of each finding, or that it is not known."""
    if all(row.normal is None for row in findings.reported):
        console.print(
            "compared with: not known for this task version; register the task again to see the "
            "nearest normal patch of each finding"
        )
        return
    table = make_table(
        "compared with the nearest normal patch",
        "finding",
        "normal study",
        "image",
        "patch (row, column)",
        "distance",
    )
    for row in findings.reported:
        if (normal := row.normal) is None:
            continue
        frame = f" frame {normal.frame}" if normal.frame > 1 else ""
        place = f"{normal.place[0] + 1}, {normal.place[1] + 1} of {normal.grid}"
        table.add_row(
            str(row.number),
            f"{normal.number} ({escape_markup(normal.study)})",
            f"{escape_markup(normal.image)}{frame}",
            f"{place}; finding at {normal.peak[0] + 1}, {normal.peak[1] + 1}",
            f"{normal.distance:.2f}",
        )
    console.print(table)


def _print_results(run: "RunDetails") -> None:
    table = make_table(None, "object", "SOP Instance UID", "destination", "delivery", "tries", "")
    for result in run.results:
        if not result.deliveries:
            table.add_row(result.kind, result.sop_uid, "", "no destination", "", "")
        for delivery in result.deliveries:
            table.add_row(
                result.kind,
                result.sop_uid,
                delivery.destination,
                delivery.state.value,
                str(delivery.attempts),
                escape_markup(delivery.comment or ""),
            )
    if run.results:
        console.print(table)


@app.command()
def complete(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Study Instance UID (0020,000D).")],
) -> None:
    """Have a study analysed now, without waiting for more of it.

    What comes later makes a new revision. A node that does not run does it at its next start.
    """
    from mediclip_dicom.engine import complete_now

    complete_now(settings_of(context), study_instance_uid)
    console.print(f"study {study_instance_uid} counts as complete", highlight=False)
