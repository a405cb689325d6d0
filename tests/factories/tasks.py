"""A small task that is fitted in seconds, and settings of nodes that hold it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from ai_core import DEFAULT, Preset
from mediclip_dicom.settings import Settings
from mediclip_dicom.tasks import Registered, Route, TaskRequest

TASK = "brain-mr"

K = 4

TINY = replace(
    DEFAULT,
    name="tiny",
    training=replace(DEFAULT.training, pool_images=16, updates=40, batch=8),
)
"""The default preset, over in a few seconds."""

SMALLEST = replace(
    TINY, name="smallest", training=replace(TINY.training, pool_images=4, updates=2, batch=4)
)
"""For tests that ask what registering does, and not how well it is fitted."""


@dataclass(frozen=True)
class FittedTask:
    """A database that holds one task, what it was fitted on, and what registering said."""

    database: Path
    normals: tuple[Path, ...]
    registered: Registered


def request_for(name: str = TASK, *, preset: Preset = TINY, **changes: object) -> TaskRequest:
    request = TaskRequest(
        name=name,
        route=Route("MR", body_part="BRAIN"),
        preset=preset,
        false_positive_rate=0.25,
        folds=2,
        images_per_study=3,
        seed=7,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def settings_in(folder: Path) -> Settings:
    """A node of its own, with the untrained backbone and no task.

    A study from MODALITY is complete when its association ends, and not before, however long a
    busy machine takes from one instance to the next.
    """
    return Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": 0, "open": True},
            "storage": {"root": folder / "node", "min_free_mb": 1},
            "backbone": {"model": "untrained", "weights": "untrained", "device": "cpu"},
            "gathering": {"quiet_period_s": 900.0, "after_association_s": 0.1},
            "peers": [{"name": "modality", "ae_title": "MODALITY", "study_per_association": True}],
        }
    )


def with_task(settings: Settings, task: FittedTask) -> Settings:
    """Give a node a copy of the fitted task."""
    settings.storage.root.mkdir(parents=True)
    shutil.copy(task.database, settings.storage.root / "node.sqlite")
    return settings
