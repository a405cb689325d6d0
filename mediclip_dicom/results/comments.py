"""Comments of the Structured Report: the sentences that a person reads first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from ai_core import Verdict
from mediclip_dicom.imaging import count_volumes
from mediclip_dicom.results.bands import bands
from mediclip_dicom.results.findings import PEAK_SHARE, SPECK_MM, Findings
from mediclip_dicom.results.identity import to_ascii
from mediclip_dicom.results.patients import OTHER_PATIENT
from mediclip_dicom.results.reading import LEFT_OUT, ImageReading, Reading, UnreadContent
from mediclip_dicom.results.wording import describe, describe_normal, sentence


def comments(reading: Reading, findings: Findings) -> Iterator[str]:
    """Write the sentences on a study: its verdict first, then findings, images and limits."""
    yield sentence(reading, findings)
    for finding in findings.reported:
        yield describe(finding)
        if (normal := findings.compared_with(finding.number)) is not None:
            yield describe_normal(normal, k=reading.k)
    yield from _counts(findings)
    read = sum(image.skipped is None for image in reading.images)
    yield (
        f"Not for diagnostic use. {read} of {reading.frames} frames analysed by task "
        f"{to_ascii(reading.task_name)} version {reading.task_version}, fitted on {reading.k} "
        "normal studies. The anomaly score is no probability."
    )
    if reading.score is not None:
        # Renderers such as DCMTK's show a contained number without its name.
        yield (
            f"Verdict: {Verdict(reading.verdict).value}. Anomaly score of the study "
            f"{reading.score:.4g}{_p_value(reading.p_value)}."
        )
    if reading.extrapolated(reading.p_value):
        yield (
            f"p-values below 1/{reading.k + 1} = {1 / (reading.k + 1):.2g} are extrapolated: "
            f"{reading.k} normal studies can't count so low, and the shape of their highest scores "
            "gives the figure."
        )
    yield from _series(reading)
    if not reading.backbone_trained:
        yield "The vision backbone is untrained: a demonstration without clinical meaning."
    yield _levels(reading)
    if any(image.header.spacing_at_detector for image in _key_images(findings)):
        yield (
            "Areas and diameters are those at the detector (Imager Pixel Spacing), where the "
            "anatomy is magnified: in the patient they are smaller."
        )
    if any(finding.size.unknown is not None for finding in findings.reported):
        yield "Findings in images without a pixel spacing are given in pixels."
    yield from _left_out(reading)
    yield from _unread(reading)
    yield from (to_ascii(note) for note in reading.notes)


def _counts(findings: Findings) -> Iterator[str]:
    if findings.further:
        yield (
            f"The first {len(findings.reported)} of "
            f"{len(findings.reported) + findings.further} findings are reported; the others are in "
            "the segment of further marked regions."
        )
    if findings.specks:
        yield (
            f"{findings.specks} marked regions are smaller than a sphere, or in a single image a "
            f"disc, of {SPECK_MM:g} mm, or smaller than the detector resolves, and are not counted "
            "as findings."
        )


def _levels(reading: Reading) -> str:
    if reading.operating_point is None:
        return "The task has no operating point, so nothing is marked."
    edges = ", ".join(f"{band.threshold:.4g}" for band in bands(reading.operating_point)[1:])
    return (
        f"Operating point {reading.operating_point:.4g}, meant to mark at most "
        f"{reading.false_positive_rate:.3g} of normal studies. A finding begins above it and grows "
        f"down to {PEAK_SHARE:.0%} of its own peak in log-odds above the median of its series, but "
        f"never stops above the operating point. The higher bands of the map begin above {edges}."
    )


def _key_images(findings: Findings) -> list[ImageReading]:
    return [finding.key_image for finding in findings.reported]


def _p_value(value: float | None) -> str:
    return "" if value is None else f", p-value {value:.3g} against the normal studies"


def _series(reading: Reading) -> Iterator[str]:
    """Write a sentence for each series about the frames that were analysed."""
    repeated = count_volumes(reading.images)
    series: dict[str, list[ImageReading]] = defaultdict(list)
    for image in reading.images:
        series[image.header.series_instance_uid].append(image)
    for number, images in enumerate(series.values(), start=1):
        header = images[0].header
        name = ", ".join(filter(None, (header.modality, to_ascii(header.series_description))))
        read = sum(image.skipped is None for image in images)
        yield (
            f"{read} of {len(images)} frames of series {number} ({name}) analysed: "
            f"{header.series_instance_uid}."
        )
        if (volumes := repeated.get(header.series_instance_uid)) is not None:
            yield (
                f"Series {number} has {volumes} volumes at the same positions (times, phases, "
                "directions or the like). Each is read by itself, and a Segmentation holds one."
            )


def _left_out(reading: Reading) -> Iterator[str]:
    """List the frames without a score by reason; those left out on purpose apart."""
    for prefix, images in (
        ("Left out on purpose", [image for image in reading.images if image.left_out]),
        (
            "Not analysed",
            [image for image in reading.images if image.skipped and not image.left_out],
        ),
    ):
        for reason, uids in _by_reason(images):
            yield f"{prefix} ({len(uids)}), {to_ascii(reason)}: {', '.join(uids)}"


def _unread(reading: Reading) -> Iterator[str]:
    """List the contents that are set aside by reason and series; a patient's series is not named
    in another's report.
    """
    reasons: dict[tuple[str, str], list[UnreadContent]] = defaultdict(list)
    for content in reading.unread:
        reasons[content.reason, content.series_instance_uid].append(content)
    for (reason, series_uid), contents in reasons.items():
        frames = sum(content.frames for content in contents)
        text = f"Not analysed ({frames}), {to_ascii(reason)}"
        if reason == OTHER_PATIENT:
            yield f"{text}."
            continue
        uids = ", ".join(content.sop_instance_uid for content in contents)
        yield f"{text}, series {series_uid}: {uids}"


def _by_reason(images: Iterable[ImageReading]) -> Iterable[tuple[str, list[str]]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for image in images:
        frame = f" frame {image.frame_number}" if image.header.number_of_frames > 1 else ""
        reasons[(image.skipped or "").removeprefix(LEFT_OUT)].append(
            image.header.sop_instance_uid + frame
        )
    return reasons.items()
