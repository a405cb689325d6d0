"""A small fitted task that the tests share, and a node's settings in a temporary folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog
from sqlalchemy.orm import Session, sessionmaker

from ai_core import DEFAULT, Backbone, Preset, load_backbone
from mediclip_dicom.database import open_database
from mediclip_dicom.settings import Settings
from mediclip_dicom.tasks import Registered, Route, TaskRequest, register_from_paths
from tests.factories.studies import mr_study

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


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    return load_backbone("untrained", "untrained", device="cpu")


@pytest.fixture(scope="session")
def fitted_task(tmp_path_factory: pytest.TempPathFactory, backbone: Backbone) -> FittedTask:
    """Never write to its database; copy it with `node_settings`."""
    folder = tmp_path_factory.mktemp("fitted")
    normals = tuple(path for n in range(K) for path in mr_study(folder / f"normal-{n}", n))
    database = folder / "node.sqlite"
    sessions = open_database(f"sqlite:///{database}")
    registered = register_from_paths(sessions, normals, request_for(), backbone=backbone)
    engine = sessions.kw["bind"]
    engine.dispose()
    return FittedTask(database, normals, registered)


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


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def node_settings(settings: Settings, fitted_task: FittedTask) -> Settings:
    return with_task(settings, fitted_task)


@pytest.fixture
def sessions(tmp_path: Path) -> sessionmaker[Session]:
    return open_database(f"sqlite:///{tmp_path / 'tasks.sqlite'}")


@pytest.fixture
def fitted_sessions(node_settings: Settings) -> sessionmaker[Session]:
    return open_database(node_settings.database_url)


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """A command sets logging up for its process; the next test gets its own."""
    yield
    structlog.reset_defaults()
