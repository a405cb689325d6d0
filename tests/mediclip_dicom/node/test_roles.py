"""The roles of a node: who may run beside whom, and what each of them opens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ai_core import Backbone
from mediclip_dicom.errors import NodeStartError
from mediclip_dicom.node import Node, Role
from mediclip_dicom.node.roles import RoleHold
from mediclip_dicom.settings import Settings

HOLDS = """
import sys, time
from pathlib import Path
from mediclip_dicom.node.roles import Role, RoleHold
hold = RoleHold(Path(sys.argv[1]), Role.WORKER)
print(hold.executor_id, flush=True)
time.sleep(600)
"""


def test_a_second_node_on_the_same_storage_is_refused_in_words(
    node_settings: Settings, backbone: Backbone
) -> None:
    with Node(node_settings, backbone=backbone):
        with pytest.raises(NodeStartError) as caught:
            Node(node_settings, backbone=backbone)
        said = str(caught.value)
        assert f"another node runs on {node_settings.storage.root}" in said
        assert f"process {os.getpid()}" in said
        assert "[storage] root" in said
    with Node(node_settings, backbone=backbone):  # the first one has let go
        pass


def test_roles_on_one_storage_may_be_parted_over_processes(node_settings: Settings) -> None:
    with Node(node_settings, roles=[Role.LISTENER]) as listener:
        assert listener.port
        with Node(node_settings, roles=[Role.MAINTENANCE]):
            pass


def test_a_killed_process_leaves_no_lock_and_its_executor_is_known_to_be_dead(
    tmp_path: Path,
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    executor_id = process.stdout.readline().strip()
    with pytest.raises(NodeStartError, match=f"process {process.pid}"):
        RoleHold(tmp_path, Role.WORKER)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold = RoleHold(tmp_path, Role.WORKER)
    assert hold.predecessors == (executor_id,)
    assert hold.executor_id != executor_id
    hold.release()
    again = RoleHold(tmp_path, Role.WORKER)
    assert again.predecessors == (executor_id, hold.executor_id), "neither was taken over yet"
    again.forget_predecessors()
    again.release()
    assert RoleHold(tmp_path, Role.WORKER).predecessors == (again.executor_id,)


def test_a_storage_of_an_earlier_release_has_the_unnamed_executor(tmp_path: Path) -> None:
    (tmp_path / "old" / "spool").mkdir(parents=True)
    assert RoleHold(tmp_path / "old", Role.WORKER).predecessors == ("local",)
    assert RoleHold(tmp_path / "new", Role.WORKER).predecessors == ()


def test_a_lock_file_that_a_crash_cut_short_is_read_as_empty(tmp_path: Path) -> None:
    (tmp_path / "worker.lock").write_text('{"process": 12, "exec')
    assert RoleHold(tmp_path, Role.WORKER).predecessors == ()


LISTENS = """
import json, sys
from mediclip_dicom.node import Node, Role
from mediclip_dicom.settings import Settings
settings = Settings.model_validate(json.loads(sys.argv[1]))
with Node(settings, roles=[Role.LISTENER, Role.MAINTENANCE]):
    print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "open_clip", "timm"}))
"""


def test_the_listener_role_imports_no_torch_and_opens_no_backbone(settings: Settings) -> None:
    command = [sys.executable, "-c", LISTENS, json.dumps(settings.model_dump(mode="json"))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (found,) = [line for line in ended.stdout.splitlines() if line.startswith("[")]
    assert found == "[]"
