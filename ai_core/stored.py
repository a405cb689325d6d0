"""Frozen dataclasses from stored JSON, checked by pydantic: kinds, ranges, unknown names."""

import json
from collections.abc import Callable, Iterable
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

T = TypeVar("T")

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""For each dataclass that is stored: no unknown names, no text for numbers, only finite numbers."""

_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)

Share = Annotated[float, Field(ge=0, le=1)]
"""A share or probability."""


def from_plain(kind: type[T], values: Any) -> T:
    """Build a dataclass from plain values as JSON holds them.

    Args:
        kind: the dataclass.
        values: nested dicts, lists and numbers.

    Raises:
        ValueError: another kind of value, one out of range, an unknown or a missing name; the
            message names each of them.
    """
    try:
        built: T = _adapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        raise ValueError("; ".join(_sentences(error.errors()))) from error
    except TypeError as error:
        raise ValueError(f"no plain values: {error}") from error
    return built


def _sentences(errors: Iterable[ErrorDetails]) -> list[str]:
    unknown: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    others = []
    for error in errors:
        *parents, last = error["loc"] or ("",)
        where = ".".join(str(part) for part in parents) or "it"
        if error["type"] == "unexpected_keyword_argument":
            unknown.setdefault(where, []).append(str(last))
        elif error["type"] in ("missing", "missing_argument"):
            missing.setdefault(where, []).append(str(last))
        else:
            place = ".".join(str(part) for part in error["loc"]) or "it"
            others.append(f"{place}: {_reason(error)}")
    return [
        *(f"{where} has no setting named {_listed(names)}" for where, names in unknown.items()),
        *(f"{where} lacks {_listed(names)}" for where, names in missing.items()),
        *others,
    ]


def _reason(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {error['input']!r}"


def _listed(names: list[str]) -> str:
    return ", ".join(sorted(names))
