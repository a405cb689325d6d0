"""Registration of a task: k normal studies become an active task version."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker
from torch.nn.functional import adaptive_avg_pool2d

from ai_core import (
    Backbone,
    Detector,
    DetectorInfo,
    FitProgress,
    OperatingPoint,
    Preset,
    choose_folds,
    fit_calibrated,
    lowest_rate,
    normals_needed,
)
from ai_core.backbone import UNTRAINED
from mediclip_dicom.database import SupportItem, Task, TaskVersion, TaskVersionState
from mediclip_dicom.errors import RateNotReachableError, TaskError
from mediclip_dicom.imaging import INPUT_SIZE, Preparation, Window
from mediclip_dicom.tasks.calibration import Calibration, describe_calibration
from mediclip_dicom.tasks.routing import Route
from mediclip_dicom.tasks.sources import FolderSource, StudySource
from mediclip_dicom.tasks.support import SupportSet, SupportStudy, read_support_set
from mediclip_dicom.tasks.support_pictures import encode_picture
from mediclip_dicom.tasks.versions import (
    TaskDefinition,
    TaskVersionInfo,
    definition_to_json,
    version_info,
)

TASK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """Arguments of `task register`; rates are shares from 0 to 1."""

    name: str
    route: Route
    preset: Preset
    false_positive_rate: float
    folds: int
    images_per_study: int
    seed: int
    windows: tuple[Window, ...] = ()
    crop: bool = False
    tiles: int = 1

    @property
    def definition(self) -> TaskDefinition:
        """Task that is asked for."""
        return TaskDefinition(self.name, self.route, self.windows, self.crop, self.tiles)

    @property
    def preparation(self) -> Preparation:
        """Preparation of its images.

        Raises:
            TaskError: a window is named twice, or an enlargement is out of range.
        """
        try:
            return Preparation(self.preset.geometry, self.windows, self.crop, self.tiles)
        except ValueError as error:
            raise TaskError(f"task {self.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class Registered:
    """Result of a registration.

    Attributes:
        version: the new active version.
        images: number of images that it was fitted on.
        passes: passes of the frozen tower for each image.
        left_out: reasons why files were not used, with their numbers.
    """

    version: TaskVersionInfo
    images: int
    passes: int
    left_out: tuple[tuple[str, int], ...]


def register_from_source(
    sessions: sessionmaker[Session],
    source: StudySource,
    request: TaskRequest,
    *,
    backbone: Backbone,
    reading_progress: Callable[[int, int], None] | None = None,
    read: Callable[[SupportSet], None] | None = None,
    fit_progress: Callable[[FitProgress], None] | None = None,
) -> Registered:
    """Read the support set, fit and calibrate a detector, and make it the active version.

    Nothing is stored before everything has worked, and nothing is read before the request is
    known to make sense.

    Args:
        sessions: of the database.
        source: holds the normal studies.
        request: the task.
        backbone: the frozen backbone.
        reading_progress: called with (studies read, studies in all).
        read: called with the support set before anything is fitted.
        fit_progress: called while the detector is fitted.

    Raises:
        TaskError: the request makes no task, or the source holds too few usable normal studies.
        RateNotReachableError: the studies can't promise the rate asked for.
        ai_core.DetectorError: the rate is none, or the detector refuses the images.
    """
    needed = normals_needed(request.false_positive_rate)
    _check(request)
    support = read_support_set(
        source,
        route=request.route,
        preparation=request.preparation,
        images_per_study=request.images_per_study,
        progress=reading_progress,
    )
    if read:
        read(support)
    _check_rate(support.k, request.false_positive_rate, needed=needed)
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
        request.definition,
        support=support,
        fitted=fitted,
        seed=request.seed,
    )
    reasons = Counter(skipped.reason for skipped in support.left_out)
    return Registered(
        version=version,
        images=len(support.items),
        passes=request.preparation.passes,
        left_out=tuple(reasons.most_common()),
    )


def register_from_paths(
    sessions: sessionmaker[Session],
    paths: Iterable[Path],
    request: TaskRequest,
    *,
    backbone: Backbone,
    pictures: bool = False,
    reading_progress: Callable[[int, int], None] | None = None,
    read: Callable[[SupportSet], None] | None = None,
    fit_progress: Callable[[FitProgress], None] | None = None,
) -> Registered:
    """Register a task from the normal studies in files and folders; see `register_from_source`.

    Pictures are taken where the paths hold no DICOM, or with `pictures`.
    """
    return register_from_source(
        sessions,
        FolderSource(tuple(paths), pictures=pictures),
        request,
        backbone=backbone,
        reading_progress=reading_progress,
        read=read,
        fit_progress=fit_progress,
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """Detector, the cross-fitted scores of the normals that it was fitted on, and their rule."""

    detector: Detector
    operating_point: OperatingPoint
    calibration: Calibration


def fit_task(
    support: SupportSet,
    *,
    backbone: Backbone,
    preset: Preset,
    false_positive_rate: float,
    folds: int,
    seed: int,
    progress: Callable[[FitProgress], None] | None = None,
) -> Fitted:
    """Fit the heads of the folds, and calibrate them on the normals that each did not see.

    Raises:
        TaskError: fewer than two normal studies.
        ai_core.DetectorError: the detector refuses the images.
    """
    if support.k < 2:
        raise TaskError(
            f"a task needs at least 2 normal studies, and {support.k} was given; name more"
        )
    fit = fit_calibrated(
        support.images,
        support.groups,
        backbone=backbone,
        preset=preset,
        folds=choose_folds(support.k, most=folds),
        generator=torch.Generator().manual_seed(seed),
        progress=progress,
        held_out=lambda study: _all_images(support.studies[study], backbone),
        study_score=lambda study, maps, scores: _peak(support.studies[study], maps, scores),
        series_places=support.series_places,
        held_out_places=(
            None
            if support.series_places is None
            else lambda study: support.studies[study].series_places()
        ),
        views=support.views,
    )
    point = OperatingPoint(fit.normal_scores, false_positive_rate)
    return Fitted(fit.detector, point, describe_calibration(fit, point, support))


def _all_images(study: SupportStudy, backbone: Backbone) -> Iterator[torch.Tensor] | None:
    """Return all images of a sampled study: a routine study is judged by all of its images."""
    return study.batches(backbone.batch_size) if study.sampled else None


def _peak(study: SupportStudy, maps: torch.Tensor, scores: torch.Tensor) -> tuple[float, int]:
    peak = study.peak(maps, scores)
    return peak.score, peak.frame


def register_task(
    sessions: sessionmaker[Session],
    definition: TaskDefinition,
    *,
    support: SupportSet,
    fitted: Fitted,
    seed: int,
) -> TaskVersionInfo:
    """Store a new version of a task and make it the active one; earlier versions retire."""
    weights = fitted.detector.to_bytes()
    info = fitted.detector.info
    with sessions.begin() as session:
        task = session.scalar(select(Task).where(Task.name == definition.name))
        if task is None:
            task = Task(name=definition.name, created_at=datetime.now(UTC))
            session.add(task)
        route, windows = definition.route, definition.windows
        task.modality = route.modality
        task.body_part = route.body_part
        task.view = route.view
        task.series_description = route.series_description
        task.excluded_series = list(route.excluded_series) or None
        for version in task.versions:
            version.state = TaskVersionState.RETIRED
        number = max((version.number for version in task.versions), default=0) + 1
        version = TaskVersion(
            task=task,
            number=number,
            uid=_version_uid(definition, number, fitted),
            state=TaskVersionState.ACTIVE,
            window_center=windows[0].center if windows else None,
            window_width=windows[0].width if windows else None,
            preparation=definition_to_json(definition),
            preset=info.preset.name,
            geometry=info.preset.geometry,
            backbone=_backbone_label(info),
            backbone_trained=info.weights != UNTRAINED,
            backbone_sha256=info.backbone_sha256,
            weights=weights,
            weights_sha256=fitted.detector.sha256,
            seed=seed,
            k=support.k,
            false_positive_rate=fitted.operating_point.false_positive_rate,
            normal_scores=list(fitted.operating_point.normal_scores),
            calibration=fitted.calibration.to_dict(),
            support_kinds=support.kinds.to_dict(),
            created_at=datetime.now(UTC),
            support_items=[
                SupportItem(
                    study=item.study,
                    image=item.image,
                    frame=item.frame,
                    digest=item.digest,
                    picture=encode_picture(adaptive_avg_pool2d(pixels, INPUT_SIZE).numpy()),
                )
                for item, pixels in zip(
                    support.items, support.images[:: support.views.count], strict=True
                )
            ],
        )
        session.add(version)
        session.flush()
        return version_info(version)


def _check(request: TaskRequest) -> None:
    if not TASK_NAME.fullmatch(request.name):
        raise TaskError(
            f"{request.name!r} can't be a task's name: take up to 64 letters, digits, '.', '-' and "
            "'_', the first of them a letter or digit, as in brain-mr"
        )
    if not request.route.modality.strip():
        raise TaskError(f"task {request.name} needs a modality to read, as in MR")


def _check_rate(k: int, rate: float, *, needed: int) -> None:
    if k >= 2 and rate < lowest_rate(k):
        reachable = _round_up(lowest_rate(k))
        raise RateNotReachableError(
            f"{k} normal studies can promise no less than {lowest_rate(k):.1%} false positives, "
            f"and {rate:.1%} was asked for: such a task could never call a study abnormal, so "
            f"nothing was fitted. Name at least {needed} normal studies, or ask for "
            f"--false-positive-rate {reachable:g} or more",
            lowest_rate=reachable,
            normals_needed=needed,
        )


def _round_up(rate: float) -> float:
    """Round up to three decimals: a rate that is printed must work when it is typed."""
    return -(-rate * 1000 // 1) / 1000


def _backbone_label(info: DetectorInfo) -> str:
    """Name model and weights; of a weights file only its name, since results leave the disk."""
    weights = Path(info.weights).name
    return info.backbone if info.backbone == weights else f"{info.backbone} ({weights})"


def _version_uid(definition: TaskDefinition, number: int, fitted: Fitted) -> str:
    """Derive the UID: the same fit under the same definition is the same on every node."""
    parts = (
        definition.name,
        definition.route,
        definition_to_json(definition),
        number,
        fitted.detector.sha256,
        fitted.operating_point,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()
