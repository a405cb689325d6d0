"""`mediclip-dicom render` and `mediclip-dicom export`."""

from pathlib import Path
from typing import Annotated

import typer

from mediclip_dicom.cli.context import settings_of

STUDY = Annotated[str, typer.Argument(help="Study Instance UID (0020,000D); see study list.")]
TASK = Annotated[
    str | None, typer.Option("--task", help="Whose reading, where several tasks read the study.")
]


def render(
    context: typer.Context,
    study: STUDY,
    out: Annotated[Path, typer.Option(help="The PNG file that is written.")],
    task: TASK = None,
) -> None:
    """Draw the fused picture of a study: its most anomalous image, the map over it, the scale.

    The study is one that the node has read. The picture names no patient.
    """
    from mediclip_dicom.cli.stored import render_study

    render_study(settings_of(context), study, task=task, out=out)


def export(
    context: typer.Context,
    study: STUDY,
    out: Annotated[Path, typer.Option(help="Folder; made if missing.")],
    task: TASK = None,
) -> None:
    """Write what the node said of a study: objects (DICOM), maps (NPZ), scores (CSV).

    The objects name the patient, as in the PACS; maps and scores name UIDs only. A maps file holds
    `maps` (frames, 224, 224; float32 in 0 to 1), `sop_instance_uid`, `frame`, and `box`: top, left,
    bottom and right of the image in its map.
    """
    from mediclip_dicom.cli.stored import export_study

    export_study(settings_of(context), study, task=task, out=out)
