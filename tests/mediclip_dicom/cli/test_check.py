"""`mediclip-dicom check`: a line each, and an exit code for scripts."""

import json
from pathlib import Path

from mediclip_dicom.settings import Settings
from tests.factories.command_line import Cli, write_config


def test_a_node_that_would_start_ends_with_0(cli: Cli, task_config: Path) -> None:
    said = cli("--config", task_config, "check")
    assert said.code == 0
    assert "active tasks brain-mr" in said.text
    assert "fail" not in said.out.split()
    for what in ("configuration", "storage", "database", "device", "weights", "port"):
        assert what in said.text


def test_a_line_that_fails_ends_with_1_and_says_what_to_do(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    settings.storage.root.write_text("in the way")
    said = cli("--config", write_config(settings, tmp_path / "node.toml"), "check")
    assert said.code == 1
    assert "fail" in said.out.split()
    assert "Traceback" not in said.text


def test_names_of_sections_are_printed_as_they_are_written(cli: Cli, config: Path) -> None:
    """Rich takes [node] for its own markup unless it is told not to."""
    said = cli("--config", config, "check")
    assert "by [node] open; name the senders in [[peers]]" in said.text
    assert "no [[destinations]]: results stay here" in said.text


def test_a_path_in_brackets_is_printed_as_it_is(
    cli: Cli, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "[bold]" / "[/red]"
    folder.mkdir(parents=True)
    config = folder / "node.toml"
    config.write_text(f"[storage]\nroot = {json.dumps(str(folder / 'data'))}\n")
    said = cli("--config", config, "check")
    assert f"{folder / 'data'}" in said.text
    assert "Traceback" not in said.text
