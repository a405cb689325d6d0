"""`mediclip-dicom peer echo` against a real Verification SCP."""

import socket
from pathlib import Path

import pytest
from pynetdicom import AE

from mediclip_dicom.settings import Settings
from tests.factories.command_line import Cli, write_config
from tests.factories.servers import port_of, start_server


def config_with_peer(
    settings: Settings, folder: Path, port: int, ae_title: str = "ARCHIVE"
) -> Path:
    block = (
        f"[[destinations]]\nname = 'archive'\nae_title = '{ae_title}'\n"
        f"host = '127.0.0.1'\nport = {port}\n"
    )
    return write_config(settings, folder / "node.toml", extra=block)


def test_a_peer_that_answers_ends_with_0(cli: Cli, settings: Settings, tmp_path: Path) -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context("1.2.840.10008.1.1")
    server = start_server(ae)
    try:
        port = port_of(server)
        said = cli(
            "--config", config_with_peer(settings, tmp_path, port), "peer", "echo", "archive"
        )
    finally:
        server.shutdown()
    assert said.code == 0
    assert f"archive (ARCHIVE at 127.0.0.1:{port}) answers in" in said.text


def test_a_peer_that_is_away_ends_with_1(cli: Cli, settings: Settings, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = cli("--config", config_with_peer(settings, tmp_path, port), "peer", "echo", "archive")
    assert said.code == 1
    assert "can't be reached; check its address and that it runs" in said.text


def test_a_peer_that_does_not_let_us_in_says_why(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    ae = AE("ARCHIVE")
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.require_called_aet = True
    server = start_server(ae)
    try:
        config = config_with_peer(settings, tmp_path, port_of(server), ae_title="OTHER")
        said = cli("--config", config, "peer", "echo", "archive")
    finally:
        server.shutdown()
    assert said.code == 1
    assert "rejected MEDICLIP: Called AE title not recognised" in said.text


@pytest.mark.parametrize("name", ["pacs", ""])
def test_a_peer_that_is_not_configured_is_answered_with_those_that_are(
    name: str, cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    said = cli("--config", config_with_peer(settings, tmp_path, 104), "peer", "echo", name)
    assert said.code == 2
    assert f"there is no destination {name!r} (known: archive)" in said.text
