"""Levels of a stack's map: where a region begins, and how far down it grows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mediclip_dicom.results.findings.stacks import Stack

PEAK_SHARE = 0.85
"""Share of a region's own height in log-odds, from the median of its stack to its peak, down to
which it grows. Half would be right for a linear detector, but the map of a lesion saturates: a
patch that it fills by half is nearly as conspicuous as one that it fills (docs/viewers.md)."""

OWN_SHARE = 0.8
"""Share of the operating point that a pixel's own map has to reach for growth in the smoothed map:
without it a strong lesion would spread into the slices next to it through their average."""

_STEP = 4
"""Every so many rows and columns of a map count in its median."""

_EDGE = 2.0**-24
"""Distance from 0 and 1 to which a score is moved: half a float32 step below 1."""


@dataclass(frozen=True, slots=True)
class Levels:
    """Thresholds of the hysteresis on the map's 0..1 scale.

    Attributes:
        seed: operating point; a region holds at least one pixel strictly above it.
        own: what a pixel's own map has to reach before the map smoothed along the stack counts.
        background: median of the maps: what is normal in the stack.
        smoothed: whether seeds are looked for in the smoothed map. That is right only where the
            operating point was calibrated on smoothed maps.
    """

    seed: float
    own: float
    background: float
    smoothed: bool = False

    @classmethod
    def of(cls, stack: Stack, operating_point: float, *, smoothed: bool = False) -> Levels:
        """Make the levels of a stack; every map of it is read once."""
        medians = []
        for image in stack.images:
            if image.placement is None:
                raise ValueError("a stack holds scored frames only")
            inside = image.placement.crop(image.read_map())
            medians.append(float(np.median(inside[::_STEP, ::_STEP])))
        return cls(
            seed=operating_point,
            own=operating_point * OWN_SHARE,
            background=float(np.median(medians)),
            smoothed=smoothed,
        )

    @property
    def low(self) -> float:
        """Level below which no region reaches: that of one whose peak is at the operating point."""
        return min(self.seed, self.floor_of(self.seed))

    def floor_of(self, peak: float) -> float:
        """Compute the level down to which a region grows, by the highest value of its own map.

        It is never above the operating point, unless that is one of smoothed maps: an own map is
        higher than the smoothed one, and more of it is above.
        """
        low, high = log_odds(self.background), log_odds(peak)
        floor = 1 / (1 + math.exp(-(low + PEAK_SHARE * (high - low))))
        return floor if self.smoothed else min(floor, self.seed)


def log_odds(score: float) -> float:
    """Compute logit(score); a score near 0 or 1 is moved to where it is finite."""
    inside = min(max(score, _EDGE), 1 - _EDGE)
    return math.log(inside) - math.log1p(-inside)
