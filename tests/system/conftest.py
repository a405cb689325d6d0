"""The real node in a process of its own, a real PACS, and a task fitted in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ai_core import get_preset
from mediclip_dicom.cli.demo.pacs import DemoPacs, free_port
from mediclip_dicom.database import open_database
from mediclip_dicom.settings import Settings, load_settings
from mediclip_dicom.tasks import Route, TaskRequest, open_backbone, register_from_paths
from tests.factories.node_process import (
    NodeProcess,
    make_study,
)
from tests.listener.conftest import make_ct  # noqa: F401 (a fixture)

# A study is complete when its association ends; the quiet period is for what is resumed.
QUIET_PERIOD_S = 5.0
SENDERS = ("STORESCU", "TEST", "DEMO", "DEMOPACS")


@pytest.fixture(scope="session")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root whose database holds the task `disc`, fitted on four normal studies."""
    root = tmp_path_factory.mktemp("trained")
    settings = _settings(root, node_port=free_port(), pacs=None)
    preset = get_preset("default")
    training = replace(preset.training, pool_images=48, updates=60, batch=8)
    support = [path for number in range(101, 105) for path in make_study(root / "support", number)]
    register_from_paths(
        open_database(settings.database_url),
        support,
        TaskRequest(
            name="disc",
            route=Route("MR"),
            preset=replace(preset, training=training),
            false_positive_rate=0.2,
            folds=2,
            images_per_study=3,
            seed=0,
        ),
        backbone=open_backbone(settings.backbone),
    )
    return root


def kill(node: NodeProcess) -> None:
    if node.process is not None:
        node.process.kill()


@pytest.fixture(scope="module")
def make_node(
    trained_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., NodeProcess]]:
    """Make a node on a copy of the trained storage; whatever still runs is killed at the end."""
    with ExitStack() as stack:

        def make(*, node_port: int, pacs: DemoPacs | None) -> NodeProcess:
            root = tmp_path_factory.mktemp("node")
            shutil.copytree(trained_root / "storage", root / "storage")
            settings = _settings(root, node_port=node_port, pacs=pacs)
            node = NodeProcess(root / "config.toml", settings)
            stack.callback(kill, node)
            return node

        yield make


def _settings(root: Path, *, node_port: int, pacs: DemoPacs | None) -> Settings:
    sections: dict[str, dict[str, object]] = {
        "node": {"host": "127.0.0.1", "port": node_port, "open": True},
        "storage": {"root": str(root / "storage"), "min_free_mb": 16},
        "backbone": {"weights": "untrained", "device": "cpu"},
        "gathering": {"quiet_period_s": QUIET_PERIOD_S, "after_association_s": 0.5},
        "delivery": {"first_retry_s": 0.5, "backoff": 1.0, "connect_timeout_s": 2.0},
    }
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items())]
    for title in SENDERS:
        lines += [
            "[[peers]]",
            f'name = "{title}"',
            f'ae_title = "{title}"',
            "study_per_association = true",
        ]
    if pacs is not None:
        lines += [
            "[[destinations]]",
            'name = "pacs"',
            f'ae_title = "{pacs.ae_title}"',
            f'host = "{pacs.host}"',
            f"port = {pacs.port}",
        ]
    config = root / "config.toml"
    config.write_text("\n".join(lines) + "\n")
    return load_settings(config)
