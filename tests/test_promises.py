"""docs/promises.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> list[str]:
    """The lines of the tables, without their heads."""
    lines = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("|") and not line.startswith("|---")]
    return [row for row in rows if "held by |" not in row]


def names_in(module: Path) -> set[str]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("line", promises(), ids=lambda line: line.split("|")[1].strip()[:40])
def test_every_promise_is_held_by_tests_that_exist(line: str) -> None:
    named = NAMED.findall(line)
    assert named, "no test is named"
    for module, test in named:
        assert (ROOT / module).is_file(), module
        assert test in names_in(ROOT / module), f"{module} has no {test}"
