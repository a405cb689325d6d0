"""Findings as the database keeps them with a verdict, for whatever lists them without maps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mediclip_dicom.results import Finding, Findings, NormalPatch, describe_size, describe_slices


@dataclass(frozen=True, slots=True)
class NormalRow:
    """Nearest normal patch of a finding as a list shows it; see `results.NormalPatch`.

    Attributes:
        number: place of its study among the normal studies, from 1.
        study: Study Instance UID, or the digest of a picture file.
        image: SOP Instance UID, or the digest again.
        frame: frame of the image, from 1.
        index: index of the image in the support set, from 0.
        grid: patches along a side of the detector's input.
        peak: row and column of the finding's patch, from 0.
        place: row and column of the normal patch, from 0.
        distance: between the two.
    """

    number: int
    study: str
    image: str
    frame: int
    index: int
    grid: int
    peak: tuple[int, int]
    place: tuple[int, int]
    distance: float


@dataclass(frozen=True, slots=True)
class FindingRow:
    """Finding as a list shows it; UIDs, never a patient.

    Attributes:
        number: rank in the reading, from 1.
        series_uid: Series Instance UID of its source series.
        key_sop_uid: SOP Instance UID of its key image.
        key_frame: frame of the key image, from 1.
        row: row of its centre on the key image, from 1.
        column: column of its centre on the key image, from 1.
        slices: its slices in words, such as "slices 211-228".
        first_sop_uid: SOP Instance UID of its first slice.
        last_sop_uid: SOP Instance UID of its last slice.
        size: its volume or area in words, such as "3.1 cm3".
        volume_mm3: volume; None on a single image or without a spacing.
        area_mm2: area on the key image; None without a spacing.
        longest_mm: longest diameter on the key image; None without a spacing.
        perpendicular_mm: longest diameter at a right angle to it; None without a spacing.
        centre_mm: centre in patient coordinates; None without a plane.
        peak: highest score of the map in it.
        p_value: p-value of its score; None where the version has none.
        extrapolated: whether the p-value is below 1 / (k + 1), which counting can't reach.
        normal: nearest normal patch; None where the task version does not know it.
    """

    number: int
    series_uid: str
    key_sop_uid: str
    key_frame: int
    row: int
    column: int
    slices: str
    first_sop_uid: str
    last_sop_uid: str
    size: str
    volume_mm3: float | None
    area_mm2: float | None
    longest_mm: float | None
    perpendicular_mm: float | None
    centre_mm: tuple[float, float, float] | None
    peak: float
    p_value: float | None
    extrapolated: bool = False
    normal: NormalRow | None = None


@dataclass(frozen=True, slots=True)
class FindingRows:
    """Findings of a verdict: those that are reported, and the numbers of the others."""

    reported: tuple[FindingRow, ...]
    further: int
    specks: int


def finding_rows(findings: Findings) -> FindingRows:
    """Take the facts of a reading's findings that a list shows."""
    return FindingRows(
        tuple(
            _row(finding, findings.compared_with(finding.number)) for finding in findings.reported
        ),
        findings.further,
        findings.specks,
    )


def findings_to_json(rows: FindingRows) -> str:
    """Write findings for their column."""
    return json.dumps(asdict(rows), separators=(",", ":"))


def findings_from_json(text: str | None) -> FindingRows | None:
    """Read findings from their column; None for a verdict of a release that kept none."""
    if text is None:
        return None
    stored = json.loads(text)
    return FindingRows(
        tuple(_from_stored(row) for row in stored["reported"]),
        stored["further"],
        stored["specks"],
    )


def _from_stored(row: dict[str, object]) -> FindingRow:
    centre = row.pop("centre_mm")
    known = {name: row.get(name) for name in _NAMES}
    known["extrapolated"] = bool(known["extrapolated"])  # absent in the first rows of 0.2
    place = tuple(centre) if isinstance(centre, Iterable) else None
    normal = row.get("normal")
    known["normal"] = _normal_row(normal) if isinstance(normal, dict) else None
    return FindingRow(**known, centre_mm=place)  # type: ignore[arg-type]


def _normal_row(stored: dict[str, Any]) -> NormalRow:
    places = {name: tuple(stored[name]) for name in ("peak", "place")}
    return NormalRow(**{**stored, **places})


_NAMES = tuple(name for name in FindingRow.__dataclass_fields__ if name != "centre_mm")


def _row(finding: Finding, normal: NormalPatch | None) -> FindingRow:
    size, key = finding.size, finding.key_image
    return FindingRow(
        number=finding.number,
        series_uid=finding.series_instance_uid,
        key_sop_uid=key.header.sop_instance_uid,
        key_frame=key.frame_number,
        row=finding.row,
        column=finding.column,
        slices=describe_slices(finding),
        first_sop_uid=finding.first.header.sop_instance_uid,
        last_sop_uid=finding.last.header.sop_instance_uid,
        size=describe_size(finding),
        volume_mm3=size.volume_mm3,
        area_mm2=size.area_mm2,
        longest_mm=size.longest_mm,
        perpendicular_mm=size.perpendicular_mm,
        centre_mm=finding.centre_mm,
        peak=finding.peak,
        p_value=finding.p_value,
        extrapolated=finding.extrapolated,
        normal=None
        if normal is None
        else NormalRow(**{name: getattr(normal, name) for name in NormalRow.__dataclass_fields__}),
    )
