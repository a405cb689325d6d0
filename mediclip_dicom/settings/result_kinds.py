"""Kinds of result object, and the profiles that name a destination's kinds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

ResultKind = Literal["SR", "SEG", "FRACTIONAL", "PM", "SC", "KO"]
"""Structured Report; Segmentation of the map's bands; the map itself as FRACTIONAL Segmentation;
the map as Parametric Map; fused pictures as Secondary Capture; Key Object Selection."""

ALWAYS: frozenset[ResultKind] = frozenset({"SR", "SEG"})
"""What every run writes, whoever gets it: the report names the Segmentation."""

PROFILES: Mapping[str, tuple[ResultKind, ...]] = MappingProxyType(
    {
        "viewer": ("SR", "SEG"),
        "archive": ("SR", "SEG", "FRACTIONAL"),
        "legacy": ("SR", "SC", "KO"),
    }
)
"""`viewer` for what draws a Segmentation, `archive` for what keeps the numbers as well, `legacy`
for what shows nothing but pictures."""
