"""Nodes that start, stop and fail, each with a storage of its own."""

from __future__ import annotations

import ctypes
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, WeightsMismatchError
from mediclip_dicom.database import (
    RunState,
    TaskVersion,
    open_database,
)
from mediclip_dicom.engine import workflows as engine
from mediclip_dicom.errors import DatabaseError, NodeStartError, TaskError
from mediclip_dicom.node import Node
from mediclip_dicom.settings import Settings
from tests.conftest import wait_until
from tests.factories.nodes import (
    Destination,
    is_finished,
    runs_of,
    send,
)
from tests.factories.studies import (
    mr_study,
    study_uid,
)
from tests.factories.tasks import TASK

COUNTS = """
import resource
import torch
from mediclip_dicom.settings.settings import BackboneSettings
from mediclip_dicom.tasks import open_backbone

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
open_backbone(BackboneSettings(model="untrained", weights="untrained", device="cpu"))
faults()
print(plain, faults())
"""


@pytest.fixture(autouse=True, scope="module")
def _quick_queues() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "POLLING_INTERVAL_S", 0.1)
        yield


def test_a_destination_that_is_away_gets_its_results_when_it_is_back(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    archive = Destination()
    delivery = node_settings.delivery.model_copy(update={"first_retry_s": 0.2, "backoff": 1.0})
    settings = archive.added_to(node_settings).model_copy(update={"delivery": delivery})

    def attempts() -> int:
        with fitted_sessions() as session:
            results = [r for run in runs_of(session, study_uid(25)) for r in run.results]
            return max((d.attempts for r in results for d in r.deliveries), default=0)

    with Node(settings, backbone=backbone) as node:
        with archive.away():
            send(node, mr_study(tmp_path, 25))
            wait_until(lambda: attempts() >= 1, "a failed attempt")
            with fitted_sessions() as session:
                (run,) = runs_of(session, study_uid(25))
                assert run.state is RunState.DELIVERING
        wait_until(lambda: is_finished(fitted_sessions, study_uid(25)), "the delivery")
    with fitted_sessions() as session:
        (run,) = runs_of(session, study_uid(25))
        assert run.state is RunState.DONE
        assert len(archive.received) == len(run.results)
    archive.stop()


def test_a_node_whose_port_is_taken_says_so_and_leaves_nothing_running(
    node_settings: Settings, backbone: Backbone
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        blocked = node_settings.model_copy(
            update={"node": node_settings.node.model_copy(update={"port": port})}
        )
        before = set(threading.enumerate())
        with pytest.raises(NodeStartError, match=rf"127\.0\.0\.1:{port}.*in use"):
            Node(blocked, backbone=backbone).start()
    left = [t for t in set(threading.enumerate()) - before if t.is_alive() and not t.daemon]
    assert left == []


def test_the_node_does_not_start_on_a_backbone_that_fitted_none_of_its_tasks(
    node_settings: Settings, fitted_sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(backbone_sha256="0" * 64))
    with pytest.raises(TaskError, match=f"did not fit these tasks: {TASK} version 1"):
        Node(node_settings, backbone=backbone)


def test_the_node_does_not_start_on_other_blocks_than_its_tasks_were_fitted_on(
    node_settings: Settings,
) -> None:
    """The backbone's digest is of its weights, and the same whichever blocks are tapped."""
    blocks = node_settings.backbone.model_copy(update={"blocks": (1, 2, 4)})
    with pytest.raises(WeightsMismatchError, match="blocks"):
        Node(node_settings.model_copy(update={"backbone": blocks}))


def test_a_workflow_database_that_cannot_be_used_is_named_without_its_password(
    node_settings: Settings, backbone: Backbone
) -> None:
    url = "postgresql+psycopg://node:hunter2@127.0.0.1:1/workflows"
    database = node_settings.database.model_copy(update={"workflow_url": url})
    with pytest.raises(DatabaseError, match="workflow_url") as caught:
        Node(node_settings.model_copy(update={"database": database}), backbone=backbone).start()
    assert "127.0.0.1:1/workflows" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_results_lie_on_disk_where_there_is_no_destination(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    with Node(node_settings, backbone=backbone) as node:
        send(node, mr_study(tmp_path, 26))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(26)), "the answer")
    with open_database(node_settings.database_url)() as session:
        (run,) = runs_of(session, study_uid(26))
        files = [node_settings.storage.results / result.path for result in run.results]
    assert "SR" in {str(dcmread(file).Modality) for file in files}


def test_a_process_that_opened_the_backbone_uses_freed_memory_again() -> None:
    if not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")):
        pytest.skip("this C library has no mallopt")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COUNTS]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    plain, kept = found.stdout.split()[-2:]
    assert int(kept) < int(plain) / 10


def test_a_sender_waits_for_no_database(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    """Both databases are locked by somebody else until the sender has its answers."""
    paths = mr_study(tmp_path, 27)
    root = node_settings.storage.root
    with Node(node_settings, backbone=backbone) as node, ExitStack() as locks:
        for name in ("node.sqlite", "workflows.sqlite"):
            connection = locks.enter_context(closing(sqlite3.connect(root / name, timeout=30)))
            connection.execute("BEGIN EXCLUSIVE")
        send(node, paths)
        locks.close()
        wait_until(lambda: is_finished(fitted_sessions, study_uid(27)), "the answer")
