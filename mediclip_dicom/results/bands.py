"""Nested bands of an anomaly map: a viewer draws a binary segment in one flat colour."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = ("at the operating point", "higher", "highest")
_COLOURS = ((255, 221, 0), (255, 136, 0), (221, 0, 0))


@dataclass(frozen=True, slots=True)
class Band:
    """Range of an anomaly map above a threshold.

    Attributes:
        number: from 1; band 1 holds band 2, which holds band 3.
        name: a word or two for the segment's label.
        threshold: on the map's 0..1 scale; a pixel strictly above it belongs.
        colour: recommended display colour, sRGB.
    """

    number: int
    name: str
    threshold: float
    colour: tuple[int, int, int]


def bands(operating_point: float) -> tuple[Band, ...]:
    """Divide the map above the operating point into three bands of equal height."""
    step = (1.0 - operating_point) / len(_NAMES)
    return tuple(
        Band(number + 1, name, operating_point + number * step, colour)
        for number, (name, colour) in enumerate(zip(_NAMES, _COLOURS, strict=True))
    )
