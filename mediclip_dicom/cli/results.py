"""`mediclip-dicom queue`, `render` and `export`: results of studies, waiting or stored."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediclip_dicom.cli.context import settings_of
from mediclip_dicom.cli.display import console, escape_markup, local_time, make_table
from mediclip_dicom.errors import StudyNotFoundError

if TYPE_CHECKING:
    from mediclip_dicom.results import Findings, ImageReading, Reading
    from mediclip_dicom.settings import Settings

STUDY = Annotated[str, typer.Argument(help="Study Instance UID (0020,000D); see study list.")]
TASK = Annotated[
    str | None, typer.Option("--task", help="Whose reading, where several tasks read the study.")
]

_WAITS_FOR = {
    "pending": "to be delivered",
    "delivered": "to be confirmed",
    "failed": "failed",
    "cancelled": "cancelled",
}


def queue(context: typer.Context) -> None:
    """Show what waits: studies to be read, results to be delivered or confirmed."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.studies import open_deliveries, waiting_runs

    settings = settings_of(context)
    confirming = [destination.name for destination in settings.confirming]
    with open_database(settings.database_url)() as session:
        runs, deliveries = waiting_runs(session), open_deliveries(session, confirming=confirming)
    table = make_table(None, "run", "study", "waits", "where to", "since", "objects", "tries", "")
    for run in runs:
        table.add_row(run.run_id[:12], run.study_uid, run.state.value, "", local_time(run.since))
    for delivery in deliveries:
        table.add_row(
            delivery.run_id[:12],
            delivery.study_uid,
            _WAITS_FOR[delivery.state.value],
            delivery.destination,
            local_time(delivery.since),
            str(delivery.objects),
            str(delivery.attempts),
            escape_markup(delivery.comment),
        )
    if not runs and not deliveries:
        console.print("nothing waits")
        return
    console.print(table)


def render(
    context: typer.Context,
    study: STUDY,
    out: Annotated[Path, typer.Option(help="The PNG file that is written.")],
    task: TASK = None,
    finding: Annotated[
        int | None,
        typer.Option(min=1, help="Draw the key image of this finding; see study show."),
    ] = None,
) -> None:
    """Draw the fused picture of a study: its most anomalous image, the map over it, the scale.

    Findings of the image are shown beside the normal patches of the support set that are nearest to
    them. The study is one that the node has read. The picture names no patient.
    """
    from PIL import Image

    from mediclip_dicom.results import draw_fused

    readings, _ = _stored(settings_of(context), study, task=task)
    reading, findings = readings[0]
    image = _leading(reading) if finding is None else _key_image(findings, finding)
    picture = draw_fused(reading, image, findings=findings, only=finding)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(out)
    console.print(
        f"{escape_markup(out)}: {reading.verdict}. Not for diagnostic use.", highlight=False
    )
    if finding is not None and findings.compared_with(finding) is None:
        console.print(
            "compared with: not known for this task version; register the task again to see what "
            "normal looks like there"
        )


def export(
    context: typer.Context,
    study: STUDY,
    out: Annotated[Path, typer.Option(help="Folder; made if missing.")],
    task: TASK = None,
) -> None:
    """Write the node's results of a study: objects (DICOM), maps (NPZ), scores, findings (CSV).

    The objects name the patient, as in the PACS; the other files name UIDs only. A maps file holds
    `maps` (frames, 224, 224; float32 in 0 to 1), `sop_instance_uid`, `frame`, and `box`: top, left,
    bottom and right of the image in its map.
    """
    from mediclip_dicom.cli.export import write_export

    readings, objects = _stored(settings_of(context), study, task=task)
    write_export(readings, objects, out)
    console.print(
        f"{len(objects)} objects, {len(readings)} readings in {escape_markup(out)}",
        highlight=False,
    )


def _stored(
    settings: "Settings", study: str, *, task: str | None
) -> tuple[tuple[tuple["Reading", "Findings"], ...], tuple[Path, ...]]:
    """Read the newest readings of a study, one for each task, and the files of its objects."""
    from mediclip_dicom.database import open_database
    from mediclip_dicom.results import find
    from mediclip_dicom.studies import newest_reading, stored_comparisons, stored_reading

    readings = []
    with open_database(settings.database_url)() as session:
        found = newest_reading(session, study, task=task)
        for run_id, version_id in found.sources:
            reading = stored_reading(session, settings, run_id, version_id)
            findings = find(reading)
            compared = stored_comparisons(session, run_id, version_id, findings)
            readings.append((reading, dataclasses.replace(findings, compared=compared)))
    return tuple(readings), tuple(settings.storage.results / path for path in found.objects)


def _key_image(findings: "Findings", number: int) -> "ImageReading":
    for finding in findings.reported:
        if finding.number == number:
            return finding.key_image
    raise StudyNotFoundError(
        f"the study has {len(findings.reported)} reported findings, none of number {number}; see "
        "study show"
    )


def _leading(reading: "Reading") -> "ImageReading":
    if (image := reading.leading_image) is None:
        raise StudyNotFoundError("no image of the study could be scored; see study show")
    return image
