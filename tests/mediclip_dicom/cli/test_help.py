"""--help of every command teaches; wrong usage ends with 2, a failure with 1."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from mediclip_dicom.cli.app import app
from tests.factories.command_line import Cli


def commands(
    command: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, (*path, name))


ALL = dict(commands(get_command(app)))
LEAVES = {path: command for path, command in ALL.items() if not hasattr(command, "commands")}


def test_the_commands_are_those_that_the_manual_names() -> None:
    assert set(LEAVES) == {
        ("serve",),
        ("check",),
        ("analyze",),
        ("synth",),
        ("demo",),
        ("render",),
        ("export",),
        ("evaluate",),
        ("reproduce",),
        ("task", "register"),
        ("task", "list"),
        ("task", "show"),
        ("task", "retire"),
        ("study", "list"),
        ("study", "show"),
        ("study", "complete"),
        ("queue",),
        ("delivery", "retry"),
        ("delivery", "cancel"),
        ("peer", "echo"),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_help_says_what_a_command_does(path: tuple[str, ...], cli: Cli) -> None:
    said = cli(*path, "--help")
    assert said.code == 0
    assert "Usage:" in said.text
    first_words = " ".join(str(getattr(ALL[path], "help", "")).split()[:4])
    assert first_words
    assert first_words in said.text


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_and_argument_is_explained(path: tuple[str, ...]) -> None:
    silent = [
        parameter.name
        for parameter in ALL[path].params  # type: ignore[attr-defined]
        if parameter.name not in ("help", "install_completion", "show_completion")
        and not (getattr(parameter, "help", None) or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("path", [(), ("task",), ("study",), ("peer",)], ids=" ".join)
def test_a_group_alone_shows_its_commands(path: tuple[str, ...], cli: Cli) -> None:
    said = cli(*path)
    assert said.code == 2
    assert "Usage:" in said.text


@pytest.mark.parametrize(
    "arguments",
    [
        ("serf",),
        ("serve", "--port", "104"),
        ("task", "register"),
        ("task", "register", "brain"),
        ("task", "register", "brain", "normals"),
        ("task", "register", "brain", "n", "--modality", "MR", "--false-positive-rate", "5"),
        ("task", "register", "brain", "n", "--modality", "MR", "--images-per-study", "0"),
        ("study", "show"),
        ("study", "list", "--limit", "none"),
        ("analyze", "files", "--task", "brain"),
        ("peer", "echo"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...], cli: Cli) -> None:
    said = cli(*arguments)
    assert said.code == 2
    assert said.err.strip()


def test_the_version_is_told(cli: Cli) -> None:
    said = cli("--version")
    assert said.code == 0
    assert said.text.startswith("mediclip-dicom 0.")


def test_help_needs_no_configuration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[node\n")
    assert cli("serve", "--help").code == 0


def test_an_unknown_setting_is_wrong_usage_and_names_the_nearest(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("[node]\nprot = 104\n")
    for command, code in (("task list", 2), ("study list", 2), ("serve", 2), ("check", 1)):
        said = cli("--config", tmp_path / "node.toml", *command.split())
        assert said.code == code, command
        assert "did you mean 'port'?" in said.text
        assert "Traceback" not in said.text


def test_a_configuration_file_that_is_not_there_is_wrong_usage(cli: Cli, tmp_path: Path) -> None:
    said = cli("--config", tmp_path / "none.toml", "task", "list")
    assert said.code == 2
    assert "there is no configuration file" in said.text


def test_config_toml_of_the_folder_is_read_where_no_other_is_named(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("[node]\nprot = 104\n")
    assert "did you mean 'port'?" in cli("task", "list").text
