"""Every public object of ai_core shows how it is used, and the example is true."""

import doctest
import inspect

import pytest
from structlog.testing import capture_logs

import ai_core


def owner(name: str) -> object:
    """The object that holds the docstring: for a ready-made preset its class."""
    found = getattr(ai_core, name)
    return found if inspect.isclass(found) or inspect.isfunction(found) else type(found)


@pytest.mark.parametrize("name", ai_core.__all__)
def test_every_public_object_has_an_example_that_holds(name: str):
    # an example brings everything that it needs: no name is given to it
    found = doctest.DocTestFinder(exclude_empty=True).find(owner(name), name, globs={})
    examples = [test for test in found if test.examples]
    assert any(test.name == name for test in examples), f"{name} has no Example: in its docstring"
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    with capture_logs():
        for test in examples:
            runner.run(test, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)
