"""`check` tells the truth: what works, what to look at, what keeps the node from working."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import timm
from pynetdicom import AE
from safetensors.torch import save_file
from sqlalchemy import text, update
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import TaskVersion, connect, open_database
from mediclip_dicom.node import CheckResult, CheckState, check_node
from mediclip_dicom.settings import DestinationSettings, PeerSettings, Settings
from tests.factories.nodes import COMPREHENSIVE_3D_SR, SEGMENTATION
from tests.factories.servers import port_of, start_server
from tests.factories.sources import CT
from tests.factories.tasks import TASK

VERIFICATION = "1.2.840.10008.1.1"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"


def changed(settings: Settings, section: str, **values: object) -> Settings:
    part = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: part})


def checked(settings: Settings) -> dict[str, CheckResult]:
    return {result.what: result for result in check_node(settings)}


@pytest.fixture
def peer_port() -> Iterator[int]:
    ae = AE("ARCHIVE")
    for sop_class in (VERIFICATION, COMPREHENSIVE_3D_SR, SEGMENTATION):
        ae.add_supported_context(sop_class)
    server = start_server(ae)
    yield port_of(server)
    server.shutdown()


@contextmanager
def peer_that_takes(*sop_classes: str) -> Iterator[int]:
    ae = AE("ARCHIVE")
    for sop_class in sop_classes:
        ae.add_supported_context(sop_class)
    server = start_server(ae)
    yield port_of(server)
    server.shutdown()


@pytest.mark.parametrize(
    ("accepted", "state", "words", "not_said"),
    [
        ((VERIFICATION, COMPREHENSIVE_3D_SR, SEGMENTATION), "ok", ["takes SR, SEG"], "refuses"),
        (
            (VERIFICATION, ENHANCED_SR, SEGMENTATION),
            "ok",
            ["takes SR as Enhanced SR Storage, SEG"],
            "refuses",
        ),
        (
            (VERIFICATION, COMPREHENSIVE_SR, ENHANCED_SR),
            "warn",
            ["takes SR as Comprehensive SR Storage", "refuses SEG (Segmentation Storage)"],
            "3D",
        ),
        (
            (COMPREHENSIVE_3D_SR, SEGMENTATION),
            "warn",
            ["does not accept C-ECHO", "takes SR, SEG"],
            "refuses",
        ),
        (
            (VERIFICATION,),
            "fail",
            [
                "refuses SR (Comprehensive 3D SR Storage, Comprehensive SR Storage, Enhanced SR",
                "SEG (Segmentation Storage)",
            ],
            "takes",
        ),
        ((CT,), "fail", ["accepts none of the proposed contexts"], "takes"),
    ],
)
def test_the_results_that_a_peer_refuses_are_named(
    accepted: tuple[str, ...], state: str, words: list[str], not_said: str, settings: Settings
) -> None:
    with peer_that_takes(*accepted) as port:
        result = checked(with_peer(settings, port))["peer archive"]
    assert result.state == state
    for part in words:
        assert part in result.found
    assert not_said not in result.found


def with_peer(settings: Settings, port: int) -> Settings:
    peer = DestinationSettings(name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port)
    return settings.model_copy(update={"destinations": (peer,)})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_node_that_is_ready_has_no_line_that_fails(
    node_settings: Settings, peer_port: int
) -> None:
    settings = changed(with_peer(node_settings, peer_port), "node", open=False)
    settings = settings.model_copy(update={"peers": (PeerSettings(name="pacs", ae_title="PACS"),)})
    found = checked(settings)
    assert [r.what for r in found.values() if r.state is CheckState.FAIL] == []
    assert found["database"].state is CheckState.OK
    assert TASK in found["database"].found
    assert found["peer archive"].state is CheckState.OK
    assert "answers in" in found["peer archive"].found
    assert found["who may send"] == CheckResult("who may send", CheckState.OK, "pacs (PACS)")
    assert "untrained, for demonstration only" in found["weights"].found
    assert found["weights"].state is CheckState.WARN


def test_looking_changes_nothing(settings: Settings) -> None:
    found = checked(settings)
    assert not settings.storage.root.exists()
    assert found["storage"].state is CheckState.OK
    assert "will be made" in found["storage"].found
    assert "will be made" in found["database"].found
    assert "will be made" in found["workflow database"].found


def test_a_fresh_node_is_told_what_it_still_lacks(settings: Settings) -> None:
    open_database(settings.database_url)
    found = checked(settings)
    assert found["database"].state is CheckState.WARN
    assert "task register" in found["database"].found
    assert found["peers"].state is CheckState.WARN
    assert "[[destinations]]" in found["peers"].found
    assert found["who may send"].state is CheckState.WARN
    assert "[[peers]]" in found["who may send"].found


def test_a_node_that_lets_nobody_in_fails(settings: Settings) -> None:
    closed = changed(settings, "node", open=False).model_copy(update={"peers": ()})
    found = checked(closed)["who may send"]
    assert found == CheckResult(
        "who may send", CheckState.FAIL, "nobody; name the senders in [[peers]]"
    )


def test_a_storage_root_that_is_no_folder_fails(settings: Settings) -> None:
    settings.storage.root.write_text("in the way")
    result = checked(settings)["storage"]
    assert result.state is CheckState.FAIL
    assert str(settings.storage.root) in result.found
    assert "[storage] root" in result.found


def test_a_disk_that_is_too_full_fails(settings: Settings) -> None:
    result = checked(changed(settings, "storage", min_free_mb=10**12))["storage"]
    assert result.state is CheckState.FAIL
    assert "min_free_mb" in result.found


def test_a_file_that_is_no_database_fails_and_says_which(settings: Settings) -> None:
    settings.storage.root.mkdir()
    for name in ("node.sqlite", "workflows.sqlite"):
        (settings.storage.root / name).write_text("not a database" * 100)
    found = checked(settings)
    assert found["database"].state is CheckState.FAIL
    assert "node.sqlite" in found["database"].found
    assert "[database] url" in found["database"].found
    assert found["workflow database"].state is CheckState.FAIL
    assert "workflows.sqlite" in found["workflow database"].found


def test_a_database_of_a_newer_version_fails_as_the_start_would(settings: Settings) -> None:
    open_database(settings.database_url)
    with connect(settings.database_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    result = checked(settings)["database"]
    assert result.state is CheckState.FAIL
    assert "install the version that made it" in result.found


def test_an_empty_database_is_brought_up_to_date_at_the_start(settings: Settings) -> None:
    with connect(settings.database_url).begin() as connection:
        connection.execute(text("CREATE TABLE something (id INTEGER)"))
    result = checked(settings)["database"]
    assert result.state is CheckState.WARN
    assert "brought up to date at the next start" in result.found


def test_a_server_that_cannot_be_reached_fails_without_its_password(settings: Settings) -> None:
    url = "postgresql+psycopg://node:hunter2@127.0.0.1:1/node"
    found = checked(changed(settings, "database", url=url, workflow_url=url))
    for what in ("database", "workflow database"):
        assert found[what].state is CheckState.FAIL
        assert "127.0.0.1:1/node" in found[what].found
    assert "hunter2" not in str(found)


def test_weights_that_are_not_there_fail_and_say_how_to_bring_them(settings: Settings) -> None:
    missing = str(settings.storage.root / "ViT-L-14.safetensors")
    result = checked(changed(settings, "backbone", model="ViT-L-14", weights=missing))["weights"]
    assert result.state is CheckState.FAIL
    assert missing in result.found
    assert "give its path as the weights" in result.found


def test_a_file_that_holds_no_weights_fails(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"no weights" * 100)
    weights = str(tmp_path / "weights.safetensors")
    result = checked(changed(settings, "backbone", model="ViT-B-32", weights=weights))["weights"]
    assert result.state is CheckState.FAIL
    assert "does not hold this model" in result.found


def test_a_backbone_that_did_not_fit_the_tasks_fails(
    node_settings: Settings, fitted_sessions: sessionmaker[Session]
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(backbone_sha256="0" * 64))
    result = checked(node_settings)["weights"]
    assert result.state is CheckState.FAIL
    assert f"{TASK} version 1" in result.found
    assert "register" in result.found


def test_a_task_calibrated_by_an_earlier_rule_is_to_be_registered_again(
    node_settings: Settings, fitted_sessions: sessionmaker[Session]
) -> None:
    assert "Register" not in checked(node_settings)["database"].found
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(calibration={"rule": "tail", "folds": 2}))
    result = checked(node_settings)["database"]
    assert result.state is CheckState.WARN
    assert f"earlier release, which they keep: {TASK}. Register them again" in result.found


def test_other_blocks_than_the_tasks_were_fitted_on_fail(node_settings: Settings) -> None:
    result = checked(changed(node_settings, "backbone", blocks=(1, 2, 4)))["weights"]
    assert result.state is CheckState.FAIL
    assert "blocks" in result.found


def test_damaged_weights_of_a_task_fail(
    node_settings: Settings, fitted_sessions: sessionmaker[Session]
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(weights_sha256="0" * 64))
    result = checked(node_settings)["weights"]
    assert result.state is CheckState.FAIL
    assert f"the weights of task {TASK} version 1" in result.found


def test_a_device_that_is_not_there_fails(settings: Settings) -> None:
    found = checked(changed(settings, "backbone", device="cuda:99"))
    assert found["device"].state is CheckState.FAIL
    assert "cuda:99" in found["device"].found
    assert found["weights"].state is CheckState.FAIL


def test_a_port_that_is_taken_is_told(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = checked(changed(settings, "node", port=port))["port"]
    assert result.state is CheckState.WARN
    assert f"127.0.0.1:{port} is taken" in result.found


def test_an_address_of_another_machine_fails(settings: Settings) -> None:
    """A taken port may be the running node's own; an address that is not ours never works."""
    result = checked(changed(settings, "node", host="192.0.2.1"))["port"]
    assert result.state is CheckState.FAIL
    assert "192.0.2.1" in result.found


def test_a_host_name_that_does_not_exist_fails_and_raises_nothing(settings: Settings) -> None:
    result = checked(changed(settings, "node", host="no-such-host.invalid"))["port"]
    assert result.state is CheckState.FAIL
    assert "no-such-host.invalid" in result.found


def test_a_peer_that_is_away_fails_and_the_other_lines_are_still_there(
    settings: Settings,
) -> None:
    port = free_port()
    found = checked(with_peer(settings, port))
    result = found["peer archive"]
    assert result.state is CheckState.FAIL
    assert f"127.0.0.1:{port}" in result.found
    assert "check its address and that it runs" in result.found
    assert found["storage"].state is CheckState.OK


def test_the_small_backbone_in_the_box_is_for_trying_the_node(settings: Settings) -> None:
    found = checked(changed(settings, "backbone", model="ViT-L-14", weights="bundled"))
    assert found["weights"].state is CheckState.WARN
    assert "bundled" in found["weights"].found
    assert "for trying the node" in found["weights"].found


@pytest.fixture
def small_dinov2(tmp_path: Path) -> Path:
    """Random weights under the names of the model's authors."""
    state = timm.create_model("vit_small_patch14_dinov2", num_classes=0).state_dict()
    save_file(state, tmp_path / "dinov2.safetensors")
    return tmp_path / "dinov2.safetensors"


def test_the_family_of_the_backbone_is_named(settings: Settings, small_dinov2: Path) -> None:
    model = "timm/vit_small_patch14_dinov2"
    result = checked(changed(settings, "backbone", model=model, weights=str(small_dinov2)))
    assert result["weights"].state is CheckState.OK
    for part in (model, "family DINOv2, timm trunk", "free text vectors", "from 518 to 224 pixels"):
        assert part in result["weights"].found


def test_a_backbone_that_cannot_be_tapped_fails_with_the_reason(settings: Settings) -> None:
    result = checked(changed(settings, "backbone", model="RN50", weights="openai"))["weights"]
    assert result.state is CheckState.FAIL
    assert "ResNet" in result.found
    assert "'ViT-B-16'" in result.found
