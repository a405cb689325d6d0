"""Segments of one stack: its findings, the higher bands of the map, and all else that is marked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mediclip_dicom.results.bands import Band, bands
from mediclip_dicom.results.findings import Finding, Findings, StackRegions

OTHER_COLOUR = (255, 238, 150)

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Segments:
    """Segments of a stack, numbered from 1: findings by rank, then two bands, then the rest.

    Attributes:
        regions: regions of the stack.
        findings: reported findings in the stack, in the order of their rank.
        bands: higher bands that hold a pixel.
        other: whether a marked region is not among the reported findings.
    """

    regions: StackRegions
    findings: tuple[Finding, ...]
    bands: tuple[Band, ...]
    other: bool

    @cached_property
    def frames(self) -> tuple[tuple[int, int], ...]:
        """Slice and segment of each frame that holds a pixel, slice by slice."""
        return tuple(
            (index, segment)
            for index in self.regions.marked_slices()
            for segment in self._segments_in(index)
        )

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.findings) + len(self.bands) + self.other

    def masks(self) -> Iterator[Bits]:
        """Make the masks of the frames in their order; the map of a slice is read once."""
        before, on_source, labels = -1, None, None
        for index, segment in self.frames:
            if index != before:
                before, (on_source, labels) = index, self.regions.read(index)
            if on_source is None or labels is None:
                raise ValueError("a stack without slices has no frames")
            yield self._mask(segment, on_source, labels)

    def _mask(
        self,
        segment: int,
        on_source: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
    ) -> Bits:
        number = segment - 1
        if number < len(self.findings):
            return np.equal(labels, self.findings[number].region)
        number -= len(self.findings)
        if number < len(self.bands):
            return np.greater(on_source, np.float32(self.bands[number].threshold))
        return np.asarray(self._is_other[labels])

    @cached_property
    def _is_other(self) -> Bits:
        """For each region, whether it is not a reported finding; the last is for no region."""
        other = np.ones(self.regions.count + 1, dtype=bool)
        other[[finding.region for finding in self.findings]] = False
        other[-1] = False
        return other

    @cached_property
    def _regions_in(self) -> Mapping[int, frozenset[int]]:
        found: dict[int, set[int]] = {}
        for index, region in zip(self.regions.slices, self.regions.regions, strict=True):
            if region >= 0:
                found.setdefault(int(index), set()).add(int(region))
        return {index: frozenset(regions) for index, regions in found.items()}

    def _segments_in(self, index: int) -> Iterator[int]:
        here = self._regions_in[index]
        for number, finding in enumerate(self.findings, start=1):
            if finding.region in here:
                yield number
        peak = self.regions.slice_peaks[index]
        for number, band in enumerate(self.bands, start=len(self.findings) + 1):
            if peak > float(np.float32(band.threshold)):
                yield number
        if any(self._is_other[region] for region in here):
            yield self.count


def segments_of(findings: Findings, stack: int) -> Segments:
    """Lay out the segments of one of the stacks that hold a region."""
    regions = findings.regions[stack]
    own = tuple(finding for finding in findings.reported if finding.stack == stack)
    highest = float(regions.slice_peaks.max(initial=0.0))
    return Segments(
        regions=regions,
        findings=own,
        bands=tuple(
            band
            for band in bands(regions.levels.seed)[1:]
            if highest > float(np.float32(band.threshold))
        ),
        other=regions.count > len(own),
    )
