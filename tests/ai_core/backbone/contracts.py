"""A contract with a library: its names that we rely on, and the module of ours that breaks."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def hint(library: str, used_by: str) -> str:
    """What to look at when a contract no longer holds."""
    return (
        f"{library} {version(library)} is not as {used_by} relies on; mend that module, or lower "
        "the bound in pyproject.toml"
    )


def check_signature(
    function: Callable[..., Any], expected: tuple[str, ...], *, library: str, used_by: str
) -> None:
    """Names of parameters, in order; more behind them are allowed if they have defaults."""
    parameters = [
        one for name, one in inspect.signature(function).parameters.items() if name != "self"
    ]
    names = tuple(one.name for one in parameters)
    told = f"{function.__qualname__}{names}: {hint(library, used_by)}"
    assert names[: len(expected)] == expected, told
    needed = [one.name for one in parameters[len(expected) :] if _is_needed(one)]
    assert not needed, told


def check_attributes(owner: Any, names: tuple[str, ...], *, library: str, used_by: str) -> None:
    """Attributes by name, also of parts, as in "mlp.c_fc"."""
    for name in names:
        part = owner
        for step in name.split("."):
            assert hasattr(part, step), (
                f"{type(owner).__name__} has no {name}: {hint(library, used_by)}"
            )
            part = getattr(part, step)


def _is_needed(parameter: inspect.Parameter) -> bool:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter.default is inspect.Parameter.empty and parameter.kind not in several
