"""Attribute matching of C-FIND (PS3.4 C.2.2.2)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydicom.multival import MultiValue

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_NO_KEYS = frozenset(
    ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle", "InstanceAvailability")
)
_WILDCARDS = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_RANGES = frozenset(("DA", "DT", "TM"))
_NUMBERS = frozenset(("DS", "IS"))
_LONGEST_TIME = 26  # a DT of PS3.5 6.2


def matches(dataset: Dataset, identifier: Dataset) -> bool:
    """Match a data set against every key: single value, list of UIDs, wildcard or range.

    A key without a value matches everything, and so does a sequence: its items are ignored.
    """
    return all(
        _fits(dataset.get(key.tag), key)
        for key in identifier
        if key.keyword not in _NO_KEYS and key.VR != "SQ" and not key.is_empty
    )


def values_of(dataset: Dataset, keyword: str) -> list[str]:
    """Return the values of an attribute as text; none if it is missing or empty."""
    return _values(dataset[keyword]) if keyword in dataset else []


def _values(element: DataElement) -> list[str]:
    if element.is_empty:
        return []
    value = element.value
    return [str(item) for item in value] if isinstance(value, MultiValue | list) else [str(value)]


def _fits(found: DataElement | None, key: DataElement) -> bool:
    values = [] if found is None else _values(found)
    wanted = _values(key)
    if key.VR == "UI":
        return not set(wanted).isdisjoint(values)
    return any(_value_fits(value, want, vr=key.VR) for value in values for want in wanted)


def _value_fits(value: str, want: str, *, vr: str) -> bool:
    if vr in _RANGES and "-" in want:
        return _in_range(value, *want.split("-", 1))
    if vr in _WILDCARDS:
        # The standard leaves the case of names to us: it is ignored.
        return _pattern(want, ignore_case=vr == "PN").fullmatch(value) is not None
    if vr in _NUMBERS:
        return _number(value) == _number(want)
    return value == want


def _in_range(value: str, first: str, last: str) -> bool:
    earliest = first.strip().replace(":", "").ljust(_LONGEST_TIME, "0")
    latest = last.strip().replace(":", "").ljust(_LONGEST_TIME, "9")
    return earliest <= value.ljust(_LONGEST_TIME, "0") <= latest


def _pattern(want: str, *, ignore_case: bool) -> re.Pattern[str]:
    parts: Iterable[str] = ({"*": ".*", "?": "."}.get(c) or re.escape(c) for c in want)
    return re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
