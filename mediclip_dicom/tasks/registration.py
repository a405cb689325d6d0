"""From the files of k normal studies to an active task version."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, FitProgress, Preset, normals_needed
from mediclip_dicom.errors import TaskError
from mediclip_dicom.imaging import Window
from mediclip_dicom.tasks.routing import Route
from mediclip_dicom.tasks.support import read_support_set
from mediclip_dicom.tasks.versions import TaskDefinition, VersionFacts, fit_task, register_task

TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What `task register` was asked for; rates are shares from 0 to 1."""

    name: str
    route: Route
    preset: Preset
    false_positive_rate: float
    folds: int
    images_per_study: int
    seed: int
    window: Window | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """What came of it.

    Attributes:
        version: The new active version.
        images: How many images it was fitted on.
        left_out: Reasons why files were not used, with how many.
        normals_needed: Normal studies that the asked rate needs.
        reachable_rate: The lowest rate that the given studies can promise, rounded up.
    """

    version: VersionFacts
    images: int
    left_out: tuple[tuple[str, int], ...]
    normals_needed: int
    reachable_rate: float


def register_from_paths(
    sessions: sessionmaker[Session],
    paths: Iterable[Path],
    request: TaskRequest,
    *,
    backbone: Backbone,
    reading_progress: Callable[[int, int], None] | None = None,
    fit_progress: Callable[[FitProgress], None] | None = None,
) -> Registered:
    """Read the support set, fit and calibrate a detector, and make it the active version.

    Nothing is stored before everything has worked, and nothing is read before the request is
    known to make sense.

    Raises:
        TaskError: The request makes no task, or the files hold too few usable normal studies.
        ai_core.DetectorError: The rate is none, or the detector refuses the images.
    """
    needed = normals_needed(request.false_positive_rate)
    _check(request)
    support = read_support_set(
        paths,
        route=request.route,
        mode=request.preset.geometry,
        window=request.window,
        images_per_study=request.images_per_study,
        progress=reading_progress,
    )
    fitted = fit_task(
        support,
        backbone=backbone,
        preset=request.preset,
        false_positive_rate=request.false_positive_rate,
        folds=request.folds,
        seed=request.seed,
        progress=fit_progress,
    )
    version = register_task(
        sessions,
        TaskDefinition(request.name, request.route, request.window),
        support=support,
        fitted=fitted,
        seed=request.seed,
    )
    reasons = Counter(reason for _, reason in support.left_out)
    return Registered(
        version=version,
        images=len(support.items),
        left_out=tuple(reasons.most_common()),
        normals_needed=needed,
        reachable_rate=_round_up(fitted.operating_point.floor),
    )


def _check(request: TaskRequest) -> None:
    if not TASK_NAME.fullmatch(request.name):
        raise TaskError(
            f"{request.name!r} can't be a task's name: take up to 64 letters, digits, '.', '-' and "
            "'_', the first of them a letter or digit, as in brain-mr"
        )
    if not request.route.modality.strip():
        raise TaskError(f"task {request.name} needs a modality to read, as in MR")


def _round_up(rate: float) -> float:
    """To three decimals, never below: a rate that is printed must work when it is typed."""
    return -(-rate * 1000 // 1) / 1000
