"""`mediclip-dicom study`: list and show what the node has received and said."""

from typing import TYPE_CHECKING, Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import (
    console,
    local_time,
    make_table,
    plain,
    score_text,
    verdict_text,
)
from mediclip_dicom.errors import StudyNotFoundError

if TYPE_CHECKING:
    from mediclip_dicom.database import Run

app = typer.Typer(no_args_is_help=True, help="What the node has received, and what it said.")


@app.command("list")
def list_studies(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, help="Show so many, the newest first.")] = 50,
) -> None:
    """List studies with the verdict on their newest revision."""
    from sqlalchemy import func, select

    from mediclip_dicom.database import Study, open_database

    sessions = open_database(settings_of(context).database_url)
    table = make_table(None, "study", "received", "revision", "images", "state", "task", "verdict")
    with sessions() as session:
        total = session.scalar(select(func.count()).select_from(Study)) or 0
        studies = session.scalars(select(Study).order_by(Study.id.desc()).limit(limit)).all()
        for study in studies:
            revision = study.revisions[-1]
            row = [
                study.study_instance_uid,
                local_time(revision.created_at),
                str(revision.number),
                str(len(revision.instances)),
            ]
            if not revision.runs:
                table.add_row(*row, "gathered", "", "")
            for run in revision.runs:
                tasks = [verdict.task_version.task.name for verdict in run.verdicts]
                verdicts = [verdict_text(verdict.verdict) for verdict in run.verdicts]
                table.add_row(*row, run.state.value, "\n".join(tasks), "\n".join(verdicts))
    if not total:
        console.print("no study has been received yet")
        return
    console.print(table)
    if total > limit:
        console.print(f"{total - limit} older studies are not shown; see --limit")


@app.command()
def show(
    context: typer.Context,
    study_instance_uid: Annotated[str, typer.Argument(help="Study Instance UID (0020,000D).")],
) -> None:
    """Show every run of a study: verdicts, scores, result objects, deliveries."""
    from sqlalchemy import select

    from mediclip_dicom.database import Run, Study, StudyRevision, open_database

    sessions = open_database(settings_of(context).database_url)
    with sessions() as session:
        study = session.scalar(select(Study).where(Study.study_instance_uid == study_instance_uid))
        if study is None:
            raise StudyNotFoundError(
                f"the node has no study {study_instance_uid}; see mediclip-dicom study list"
            )
        runs = session.scalars(
            select(Run)
            .join(StudyRevision)
            .where(StudyRevision.study_id == study.id)
            .order_by(StudyRevision.number)
        ).all()
        for run in runs:
            console.print(
                f"[bold]revision {run.revision.number}[/], run {run.id[:12]}: {run.state.value}"
                + (f" ({plain(run.reason)})" if run.reason else "")
            )
            if run.revision.set_aside:
                console.print(
                    f"{run.revision.set_aside} other contents under the same SOP Instance UIDs "
                    "set aside (see [gathering] same_uid)",
                    markup=False,
                    highlight=False,
                )
            _print_verdicts(run)
            _print_images(run)
            _print_results(run)
        if not runs:
            console.print("the study is gathered and waits for its turn")


def _print_verdicts(run: "Run") -> None:
    table = make_table(None, "task", "version", "verdict", "score", "operating point", "p-value")
    for verdict in run.verdicts:
        version = verdict.task_version
        table.add_row(
            version.task.name,
            str(version.number),
            verdict_text(verdict.verdict),
            score_text(verdict.score),
            score_text(verdict.operating_point),
            score_text(verdict.p_value),
        )
    if run.verdicts:
        console.print(table)


def _print_images(run: "Run") -> None:
    scored = [row for row in run.image_scores if row.score is not None]
    skipped = [row for row in run.image_scores if row.skipped]
    console.print(f"{len(scored)} images scored, {len(skipped)} not")
    reasons = sorted({row.skipped for row in skipped if row.skipped})
    for reason in reasons:
        count = sum(row.skipped == reason for row in skipped)
        console.print(f"  {count} not scored: {plain(reason)}", highlight=False)


def _print_results(run: "Run") -> None:
    table = make_table(None, "object", "SOP Instance UID", "destination", "delivery", "tries", "")
    for result in run.results:
        if not result.deliveries:
            table.add_row(result.kind, result.sop_instance_uid, "", "no destination", "", "")
        for delivery in result.deliveries:
            table.add_row(
                result.kind,
                result.sop_instance_uid,
                delivery.destination,
                delivery.state.value,
                str(delivery.attempts),
                plain(delivery.comment or ""),
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
    from listener import Spool
    from mediclip_dicom.engine.client import complete_now

    settings = settings_of(context)
    if not Spool(settings.storage.spool).instances(study_instance_uid):
        raise StudyNotFoundError(f"the node has received nothing of study {study_instance_uid}")
    complete_now(settings, study_instance_uid)
    console.print(f"study {study_instance_uid} counts as complete", highlight=False)
