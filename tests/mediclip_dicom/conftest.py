"""A small fitted task that the tests share, and a node's settings in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, load_backbone
from mediclip_dicom.database import open_database
from mediclip_dicom.settings import Settings
from mediclip_dicom.tasks import register_from_paths
from tests.factories.studies import mr_study
from tests.factories.tasks import (
    FittedTask,
    K,
    request_for,
    settings_in,
    with_task,
)


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
