"""`mediclip-dicom demo`: options of the demonstration."""

from pathlib import Path
from typing import Annotated

import typer

from mediclip_dicom.cli.context import settings_of


def demo(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own data: a folder that holds normal/ and abnormal/, with DICOM studies "
            "of one modality or PNG/JPEG pictures. Without it, a department is made up."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the picture, SEG and SR.")] = Path(
        "demo-out"
    ),
    k: Annotated[int, typer.Option("--k", min=4, help="Normal studies to register from.")] = 8,
    studies: Annotated[
        int, typer.Option(min=1, help="At most so many of each kind go through the PACS.")
    ] = 4,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Watch studies go from a PACS to the node and come back with SEG and SR.

    Starts a small PACS and the node on this machine, makes a department of brain MR and thorax CT
    studies, registers a task for each from normal ones, sends others through, and reads the results
    back from the PACS: lesions that are dark or bright, and a tumour as one finding across slices.
    Needs nothing but this machine. Exit code 0 only if every study came back.

    With --data, SEG and SR name the patients of your DICOM files, as they would in your PACS.
    """
    from mediclip_dicom.cli.demo.run import DemoRequest, run_demo

    request = DemoRequest(data=data, out=out, k=k, studies=studies, seed=seed)
    run_demo(settings_of(context), request)
