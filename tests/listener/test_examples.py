"""Examples in the docstrings of the public objects run as they are printed."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import listener

OBJECTS = sorted(name for name in listener.__all__ if callable(getattr(listener, name)))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(recurse=False).find(getattr(listener, name), name)
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_example_of_a_public_object_runs(name: str, tmp_path: Path) -> None:
    tests = examples(name)
    assert tests, f"listener.{name} has no example"
    docstring = getattr(listener, name).__doc__
    assert re.search(r"^ +Example:$", docstring, re.MULTILINE), "no section Example:"
    public = {public: getattr(listener, public) for public in listener.__all__}
    for test in tests:
        test.globs.update(public | {"Path": Path, "tmp_path": tmp_path})
        said: list[str] = []
        with capture_logs():  # the log goes to the terminal otherwise, between the results
            outcome = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
        assert outcome.failed == 0, "".join(said)


def test_every_public_object_is_an_example_or_a_constant() -> None:
    constants = [name for name in listener.__all__ if name not in OBJECTS]
    assert all(name.isupper() for name in constants)
