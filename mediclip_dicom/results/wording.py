"""Wording of findings for people: sizes, slices and the sentence that a report begins with."""

from __future__ import annotations

from ai_core import Verdict
from mediclip_dicom.results.comparison import NormalPatch
from mediclip_dicom.results.findings import Finding, Findings
from mediclip_dicom.results.reading import ImageReading, Reading


def sentence(reading: Reading, findings: Findings) -> str:
    """Write the sentence that says all: verdict, p-value, findings, the largest and its slices."""
    parts = [f"{Verdict(reading.verdict).value.capitalize()}{_p_value(reading)}."]
    count = len(findings.reported) + findings.further
    if count:
        largest = max(findings.reported, key=_rank_of_size)
        parts.append(
            f"{count} finding{'s' * (count > 1)}; largest {describe_size(largest)}, "
            f"{describe_slices(largest)}."
        )
    elif reading.verdict == Verdict.ABNORMAL:
        parts.append("No finding can be shown.")
    return " ".join(parts)


def describe(finding: Finding) -> str:
    """Write the sentence on one finding."""
    size = finding.size
    parts = [f"Finding {finding.number}: {describe_size(finding)}, {describe_slices(finding)}"]
    if size.longest_mm is not None and size.perpendicular_mm is not None:
        parts.append(
            f"{size.longest_mm:.0f} x {size.perpendicular_mm:.0f} mm on {describe_place(finding)}"
        )
    else:
        parts.append(f"largest on {describe_place(finding)}")
    if finding.centre_mm is not None:
        x, y, z = finding.centre_mm
        parts.append(f"centre at ({x:.0f}, {y:.0f}, {z:.0f}) mm in the patient")
    parts.append(f"peak score {finding.peak:.3g}")
    if finding.p_value is not None:
        mark = " (extrapolated)" if finding.extrapolated else ""
        parts.append(f"p = {finding.p_value:.2g}{mark}")
    return ", ".join(parts) + "."


def describe_normal(normal: NormalPatch, *, k: int) -> str:
    """Write the sentence on the nearest normal patch of a finding; no UID of another patient."""
    return (
        f"Finding {normal.finding} compared with normal: the nearest patch of the {k} normal "
        f"studies is in study {normal.number}, image {normal.index + 1} of the support set, row "
        f"{normal.place[0] + 1}, column {normal.place[1] + 1} of {normal.grid} x {normal.grid} "
        f"patches (the finding: row {normal.peak[0] + 1}, column {normal.peak[1] + 1}), distance "
        f"{normal.distance:.2f}."
    )


def describe_size(finding: Finding) -> str:
    """Write the volume or area of a finding in a unit that suits it."""
    size = finding.size
    if size.volume_mm3 is not None:
        if size.volume_mm3 >= 100:
            return f"{_two_digits(size.volume_mm3 / 1000)} cm3"
        return f"{size.volume_mm3:.0f} mm3"
    if size.area_mm2 is not None:
        if size.area_mm2 >= 100:
            return f"{_two_digits(size.area_mm2 / 100)} cm2"
        return f"{size.area_mm2:.0f} mm2"
    return f"{size.pixels} pixels"


def describe_slices(finding: Finding) -> str:
    """Write the range of slices by their instance or frame numbers."""
    first, last = image_number(finding.first), image_number(finding.last)
    if finding.first is finding.last or first == last:
        return f"image {first}" if not finding.volumetric else f"slice {first}"
    low, high = sorted((first, last))
    return f"slices {low}-{high}"


def describe_place(finding: Finding) -> str:
    """Write which image is the key image, as a person finds it in a viewer."""
    key = finding.key_image
    if key.frame_numbers is not None:
        return f"frame {key.frame_number} of image {key.header.instance_number or '-'}"
    return f"image {image_number(key)}"


def image_number(image: ImageReading) -> int:
    """Return the number that a viewer shows: of the frame, or the instance."""
    if image.frame_numbers is not None:
        return image.frame_number
    return image.header.instance_number or 0


def _two_digits(value: float) -> str:
    return f"{value:.2g}" if value < 9.95 else f"{value:.0f}"


def _rank_of_size(finding: Finding) -> tuple[float, float, float, int]:
    size = finding.size
    return (size.volume_mm3 or 0, size.area_mm2 or 0, float(size.pixels), -finding.number)


def _p_value(reading: Reading) -> str:
    if reading.p_value is None:
        return ""
    rate = f"{reading.false_positive_rate:.3%}".rstrip("%").rstrip("0").rstrip(".")
    mark = "; extrapolated" if reading.extrapolated(reading.p_value) else ""
    return f", p = {reading.p_value:.2g} ({rate} % operating point, {reading.k} normals{mark})"
