"""Commands that show tasks, studies and stored results load no weights and import no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mediclip_dicom.settings import Settings
from tests.factories.command_line import write_config
from tests.factories.studies import study_uid
from tests.factories.tasks import TASK

RUN = """
import sys
from mediclip_dicom.cli import main
code = 0
try:
    main()
except SystemExit as end:
    code = end.code or 0
heavy = {"torch", "open_clip", "triton"} & set(sys.modules)
print("imported:", *sorted(heavy), file=sys.stderr)
sys.exit(3 if heavy else code)
"""

COMMANDS = {
    "task list": (TASK,),
    f"task show {TASK}": ("operating point", "untrained"),
    "study list": (study_uid(50), "abnormal"),
    f"study show {study_uid(50)}": ("3 images scored, 0 not", "SEG"),
    "queue": (study_uid(50), "writing"),
    f"render {study_uid(50)} --out picture.png": ("picture.png: abnormal",),
    f"export {study_uid(50)} --out exported": ("2 objects, 1 readings",),
    "--help": ("First steps",),
    "evaluate --help": ("Support pictures",),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("read_study")
def test_a_command_that_shows_what_is_stored_imports_no_torch(
    node_settings: Settings, tmp_path: Path, command: str
) -> None:
    config = write_config(node_settings, tmp_path / "node.toml")
    ended = subprocess.run(
        [sys.executable, "-c", RUN, "--config", str(config), *command.split()],
        cwd=tmp_path,
        env={"COLUMNS": "300", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    shown = " ".join(ended.stdout.split())
    for words in COMMANDS[command]:
        assert words in shown
