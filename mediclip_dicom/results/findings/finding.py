"""Finding: one connected abnormal region of a series, with its size and place."""

from __future__ import annotations

from dataclasses import dataclass

from mediclip_dicom.results.reading import ImageReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Physical size of a finding; each length is None where its unit is unknown.

    Attributes:
        volume_mm3: volume of a finding in a series.
        area_mm2: area on the key image.
        pixels: area on the key image in the source's pixels.
        longest_mm: longest diameter on the key image.
        perpendicular_mm: longest diameter on the key image at a right angle to it.
        unknown: why a measure is None, for the report; None where all are known.
    """

    volume_mm3: float | None
    area_mm2: float | None
    pixels: int
    longest_mm: float | None
    perpendicular_mm: float | None
    unknown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Connected region of a series above the operating point.

    Attributes:
        number: rank in the reading, from 1: by p-value, then size, then peak.
        key_image: the frame with its largest cross-section; of equal ones the middle.
        first: its first frame along the slice normal.
        last: its last frame; the same as `first` in a planar finding.
        slices: number of frames that hold a part of it.
        centre_mm: centre of mass in patient coordinates (x, y, z); None without a plane.
        row: row of the centre on the key image, from 1.
        column: column of the centre on the key image, from 1.
        box: first row, first column, last row and last column on the key image, from 1.
        peak_row: row of its highest value on the key image, from 1.
        peak_column: column of its highest value on the key image, from 1.
        size: its measurements.
        peak: highest value of the map in it.
        floor: level of the map down to which it has grown.
        p_value: p-value of its score: the image score of its best frame, not above its own peak.
            None where the reading has no p-values.
        extrapolated: whether the p-value is below 1 / (k + 1), which counting can't reach.
        stack: index of its stack in the reading's findings.
        region: its region in that stack.
    """

    number: int
    key_image: ImageReading
    first: ImageReading
    last: ImageReading
    slices: int
    centre_mm: tuple[float, float, float] | None
    row: int
    column: int
    box: tuple[int, int, int, int]
    peak_row: int
    peak_column: int
    size: Size
    peak: float
    floor: float
    p_value: float | None
    extrapolated: bool = False
    stack: int
    region: int

    @property
    def volumetric(self) -> bool:
        """Whether it was found in a series of slices, not in one image."""
        return self.size.volume_mm3 is not None

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID of its source series."""
        return self.key_image.header.series_instance_uid
