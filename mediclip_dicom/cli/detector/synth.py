"""`mediclip-dicom synth`: a sheet of synthetic anomalies."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from ai_core import Preset
from ai_core.synthesis import Samples, Task, synthesise
from mediclip_dicom.cli.detector.synth_sheet import SheetRow, draw_sheet
from mediclip_dicom.cli.display import console, count_progress, escape_markup, progress_bars
from mediclip_dicom.errors import ResultWriteError, SupportSetReadError
from mediclip_dicom.imaging import Preparation, Window
from mediclip_dicom.tasks import FolderSource, Route, SupportSet, read_images, read_support_set

ALL = "all"
SHOWN: tuple[Task, ...] = tuple(task for task in get_args(Task) if task != "identity")


@dataclass(frozen=True, slots=True)
class SynthRequest:
    """Arguments of `mediclip-dicom synth`.

    Attributes:
        paths: files and folders of normal studies.
        task: one of `SHOWN`, or `ALL`.
        preset: says how anomalies are drawn, and how images are brought to their size.
        modality: Only DICOM images of it are taken; None for the commonest.
        window: a window for all of them, or None for their own.
        images_per_study: at most so many images of a study.
        rows: examples of each task.
        seed: of every random draw.
        out: The PNG file.
    """

    paths: Sequence[Path]
    task: str
    preset: Preset
    modality: str | None
    window: Window | None
    images_per_study: int
    rows: int
    seed: int
    out: Path


def show_synthesis(request: SynthRequest) -> None:
    """Make synthetic anomalies from the normal studies and write them as one picture.

    Raises:
        SupportSetReadError: the paths hold no image that could be taken.
        ResultWriteError: the picture can't be written.
    """
    support = _read(request)
    generator = torch.Generator().manual_seed(request.seed)
    tasks = SHOWN if request.task == ALL else tuple(t for t in SHOWN if t == request.task)
    rows: list[SheetRow] = []
    for task in tasks:
        chosen = torch.randperm(len(support.images), generator=generator)
        chosen = chosen.repeat(-(-request.rows // len(chosen)))[: request.rows]
        normals = support.images[chosen]
        # The next image, so that a piece is another's wherever there are two.
        others = support.images[(chosen + 1) % len(support.images)]
        settings = replace(request.preset.synthesis, tasks=(task,))
        samples = synthesise(normals, others, settings=settings, generator=generator)
        rows += _sheet_rows(task, normals, samples)
    caption = (
        f"preset {request.preset.name}, seed {request.seed}, from {len(support.images)} images "
        f"of {support.k} normal studies"
    )
    try:
        draw_sheet(rows, request.out, caption=caption)
    except (OSError, ValueError) as error:
        raise ResultWriteError(f"{request.out} can't be written as PNG: {error}") from error
    console.print(
        f"{len(rows)} examples of {', '.join(tasks)} from {len(support.images)} images: "
        f"{escape_markup(request.out)}",
        highlight=False,
    )
    for reason, count in sorted(Counter(skipped.reason for skipped in support.left_out).items()):
        console.print(
            f"[yellow]left out:[/] {count} files: {escape_markup(reason)}", highlight=False
        )


def _read(request: SynthRequest) -> SupportSet:
    modality = request.modality or _commonest_modality(request.paths)
    with progress_bars() as progress:
        return read_support_set(
            FolderSource(tuple(request.paths)),
            route=Route(modality),
            preparation=Preparation(
                request.preset.geometry, (request.window,) if request.window else ()
            ),
            images_per_study=request.images_per_study,
            progress=count_progress(progress, "reading studies"),
        )


def _commonest_modality(paths: Sequence[Path]) -> str:
    """Return the modality of most DICOM images; pictures have none, and need none."""
    images = read_images(paths)
    counts = Counter(image.header.modality for image in images if image.header.modality)
    if images and not counts:
        raise SupportSetReadError("no image says its Modality (0008,0060)")
    return counts.most_common(1)[0][0] if counts else "OT"


def _sheet_rows(task: Task, normals: torch.Tensor, samples: Samples) -> list[SheetRow]:
    return [
        SheetRow(
            title=task,
            normal=normals[index].permute(1, 2, 0).numpy(),
            synthetic=samples.images[index].permute(1, 2, 0).numpy(),
            label=samples.labels[index].numpy(),
        )
        for index in range(len(samples))
    ]
