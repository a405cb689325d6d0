"""Several listener processes on one port: each enqueues by itself, none outlives its parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from ai_core import Backbone
from listener import Peer, StoreCategory, find, store
from listener.errors import ListenerError
from mediclip_dicom.database import RunState, open_database
from mediclip_dicom.errors import NodeStartError
from mediclip_dicom.node import Node, Role
from mediclip_dicom.node.listener_processes import ListenerProcesses
from mediclip_dicom.settings import PeerSettings, Settings
from mediclip_dicom.studies import open_spool
from tests.conftest import wait_until
from tests.factories.nodes import is_finished, peer_of, runs_of, send
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import FittedTask, settings_in, with_task

LISTENS = """
import json, sys, time
from mediclip_dicom.node import Node, Role
from mediclip_dicom.settings import Settings
node = Node(Settings.model_validate(json.loads(sys.argv[1])), roles=[Role.LISTENER])
node.start()
print(node.port, flush=True)
time.sleep(600)
"""


def in_processes(settings: Settings, number: int) -> Settings:
    node = settings.node.model_copy(update={"processes": number})
    finder = settings.peers[0].model_copy(update={"may": ("store", "find")})
    return settings.model_copy(update={"node": node, "peers": (finder,)})


def children_of(process: int) -> list[int]:
    return [child.pid for child in psutil.Process(process).children(recursive=True)]


@pytest.fixture
def shared_settings(tmp_path: Path, fitted_task: FittedTask) -> Settings:
    return in_processes(with_task(settings_in(tmp_path), fitted_task), 2)


def test_a_node_that_receives_in_two_processes_answers_each_study_once(
    tmp_path: Path, shared_settings: Settings, backbone: Backbone
) -> None:
    sessions = open_database(shared_settings.database_url)
    with Node(shared_settings, backbone=backbone) as node:
        for number in (71, 72):
            send(node, mr_study(tmp_path, number))
        for number in (71, 72):
            wait_until(lambda n=number: is_finished(sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
        for _ in range(6):  # either process is asked, most likely
            series = find(peer_of(node), "SERIES", {"StudyInstanceUID": study_uid(71)})
            assert "SR" in [found.Modality for found in series]
    with sessions() as session:
        for number in (71, 72):
            (run,) = runs_of(session, study_uid(number))
            assert run.state is RunState.DONE


@contextmanager
def listening(settings: Settings) -> Iterator[tuple[subprocess.Popen[str], Peer]]:
    """A listener role in a process of its own, with its listener processes below it."""
    command = [sys.executable, "-c", LISTENS, json.dumps(settings.model_dump(mode="json"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = next(int(line) for line in process.stdout if line.strip().isdecimal())
        yield process, Peer("MEDICLIP", "127.0.0.1", port, calling_ae_title="MODALITY")
    finally:
        process.kill()
        process.communicate()


def test_listener_processes_end_at_once_when_their_parent_is_killed(
    tmp_path: Path, shared_settings: Settings, backbone: Backbone
) -> None:
    with Node(shared_settings, roles=[Role.WORKER], backbone=backbone):
        pass  # makes the engine's tables
    sessions = open_database(shared_settings.database_url)
    with listening(shared_settings) as (parent, peer):
        listeners = children_of(parent.pid)
        assert len(listeners) == 2
        outcomes = store(peer, mr_study(tmp_path, 73))
        assert {outcome.category for outcome in outcomes} == {StoreCategory.SUCCESS}
        with socket.create_connection((peer.host, peer.port)):  # an association that is open
            parent.send_signal(signal.SIGKILL)
            parent.wait()
            _, alive = psutil.wait_procs(
                [psutil.Process(pid) for pid in listeners if psutil.pid_exists(pid)], timeout=10
            )
        assert not alive, "a listener process outlived its parent"
        with pytest.raises(ListenerError):
            store(peer, mr_study(tmp_path, 73))
    # What they had acknowledged is taken up; it has been quiet since.
    gathering = shared_settings.gathering.model_copy(update={"quiet_period_s": 1.0})
    with Node(shared_settings.model_copy(update={"gathering": gathering}), backbone=backbone):
        wait_until(lambda: is_finished(sessions, study_uid(73)), "the acknowledged study")


def test_a_listener_process_that_is_killed_is_started_again_and_nothing_is_lost(
    tmp_path: Path, shared_settings: Settings, backbone: Backbone
) -> None:
    sessions = open_database(shared_settings.database_url)
    gathering = shared_settings.gathering.model_copy(update={"quiet_period_s": 1.0})
    settings = shared_settings.model_copy(update={"gathering": gathering})
    with Node(settings, backbone=backbone) as node:
        before = {pid for pid in children_of(os.getpid()) if _is_listener(pid)}
        assert len(before) == 2
        for number in (74, 75):
            send(node, mr_study(tmp_path, number))
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(
            lambda: len({p for p in children_of(os.getpid()) if _is_listener(p)} - before) == 2,
            "two new listener processes",
        )
        _send_when_listening(node, mr_study(tmp_path, 76))
        for number in (74, 75, 76):
            wait_until(lambda n=number: is_finished(sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]


def _is_listener(pid: int) -> bool:
    with suppress(psutil.Error):
        return "mediclip_dicom.node.listener_process" in psutil.Process(pid).cmdline()
    return False


def _send_when_listening(node: Node, paths: list[Path]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            send(node, paths)
        except ListenerError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        else:
            return


def test_a_listener_process_that_cannot_start_fails_at_once_with_the_reason(
    tmp_path: Path, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its own certificate is fine in the parent and gone when the process looks."""
    settings = in_processes(settings, 3)
    # A URL that the parent never opens and every process has to.
    database = settings.database.model_copy(update={"url": f"sqlite:///{tmp_path}"})
    settings = settings.model_copy(update={"database": database})
    with open_spool(settings) as spool:
        processes = ListenerProcesses(settings, spool, on_process_end=lambda: None)
        began = time.monotonic()
        with pytest.raises(NodeStartError, match="unable to open database file") as caught:
            processes.start()
        took = time.monotonic() - began
    assert "listener process 0" in str(caught.value)
    assert processes.process_ids == []
    assert took < 45, "it waited for processes that had given up"
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


def test_a_port_that_is_taken_is_named_before_any_process_starts(settings: Settings) -> None:
    settings = in_processes(settings, 2)
    with socket.create_server(("127.0.0.1", 0)) as taken, open_spool(settings) as spool:
        port = taken.getsockname()[1]
        node = settings.node.model_copy(update={"port": port})
        settings = settings.model_copy(update={"node": node})
        processes = ListenerProcesses(settings, spool, on_process_end=lambda: None)
        with pytest.raises(NodeStartError, match=f"can't listen at 127.0.0.1:{port}"):
            processes.start()
    assert processes.process_ids == []


def test_peers_limits_hold_for_all_processes(shared_settings: Settings) -> None:
    """Each of many peers keeps to its own number of associations, whichever process it meets."""
    from pynetdicom import AE

    limited = PeerSettings(name="ct1", ae_title="CT1", max_associations=3)
    settings = shared_settings.model_copy(update={"peers": (limited,)})
    with Node(settings, roles=[Role.LISTENER]) as node:
        sender = AE("CT1")
        sender.add_requested_context("1.2.840.10008.1.1")
        held = [sender.associate("127.0.0.1", node.port, ae_title="MEDICLIP") for _ in range(8)]
        assert sum(association.is_established for association in held) == 3
        for association in held:
            association.abort()
