"""Secondary Captures and Key Object Selection, for a PACS that draws no Segmentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from mediclip_dicom.imaging import iter_frames
from mediclip_dicom.results.beside import Pair, put_beside
from mediclip_dicom.results.comparison import NormalPatch
from mediclip_dicom.results.device import Device
from mediclip_dicom.results.findings import Finding, Findings
from mediclip_dicom.results.identity import (
    SERIES_NUMBERS,
    derive_uid,
    equipment_arguments,
    series_description,
    stamp,
    to_ascii,
)
from mediclip_dicom.results.maps import source_map
from mediclip_dicom.results.multiframe import ResultSeries, Save
from mediclip_dicom.results.observer import observer
from mediclip_dicom.results.picture import RGB, Caption, Mark, fuse
from mediclip_dicom.results.reading import ImageReading, Reading
from mediclip_dicom.results.source import (
    SECONDARY_CAPTURE,
    laterality,
    read_source,
    referenced_requests,
    references,
)
from mediclip_dicom.results.source_text import restore_text
from mediclip_dicom.results.wording import describe_size, describe_slices

MAXIMUM_PICTURES = 32
"""Pictures per reading at most, of the highest scores: a legacy PACS is slow with thousands."""

_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))
_SOURCE_IMAGE = hd.sr.CodedConcept("121322", "DCM", "Source image for image processing operation")


def choose_flagged(findings: Findings) -> tuple[ImageReading, ...]:
    """Choose the key images of the findings, then the marked frames of the highest scores.

    Returns:
        At most `MAXIMUM_PICTURES` frames, in reading order.
    """
    marked = findings.marked
    keys = {finding.key_image.frame_key for finding in findings.reported}
    ranked = sorted(
        range(len(marked)),
        key=lambda n: (marked[n].frame_key not in keys, -(marked[n].score or 0.0), n),
    )
    return tuple(marked[n] for n in sorted(ranked[:MAXIMUM_PICTURES]))


def save_pictures(
    reading: Reading,
    findings: Findings,
    flagged: Sequence[ImageReading],
    *,
    device: Device,
    save: Save,
) -> None:
    """Make a Secondary Capture of each flagged frame, in a new series for each source series.

    Raises:
        UndecodableFrameError: a source can't be decoded any more.
    """
    series = ResultSeries(reading, device, "SC", "fused pictures")
    for image, rgb in _decode(flagged, reading):
        source = read_source(image.path)
        key = f"{image.header.sop_instance_uid} {image.frame_number}"
        orientation = _patient_orientation(image, source)
        picture: Dataset = hd.sc.SCImage.from_ref_dataset(
            ref_dataset=source,
            pixel_array=_fuse(
                reading,
                image,
                rgb,
                orientation=orientation,
                findings=_shown_on(findings, image),
                compared=_compared(findings, image),
            ),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **series.arguments(image, key=key),
        )
        picture.PatientOrientation = list(orientation) if orientation else None
        picture.Laterality = laterality(source)
        picture.BurnedInAnnotation = "NO"
        picture.DerivationDescription = "Anomaly map blended over the image, not for diagnosis"
        picture.SourceImageSequence = [_source_item(image)]
        stamp(picture, reading.finished_at)
        picture.DateOfSecondaryCapture = picture.ContentDate
        picture.TimeOfSecondaryCapture = picture.ContentTime
        series.count(image)
        restore_text(source, picture)
        save("SC", picture)


def draw_fused(
    reading: Reading,
    image: ImageReading,
    *,
    findings: Findings | None = None,
    only: int | None = None,
) -> RGB:
    """Draw the fused picture of one frame of a reading, its pixels read from the source.

    Args:
        reading: the reading.
        image: one of its scored frames.
        findings: those of which this is the key image get a box and their number, and are shown
            beside their nearest normal patches where these are known.
        only: number of the only finding that is shown beside its nearest normal patch.

    Raises:
        UndecodableFrameError: the source can't be decoded any more.
        OSError: the source is gone.
    """
    ((_, rgb),) = _decode([image], reading)
    orientation = _patient_orientation(image, read_source(image.path))
    if findings is None:
        return _fuse(reading, image, rgb, orientation=orientation)
    return _fuse(
        reading,
        image,
        rgb,
        orientation=orientation,
        findings=_shown_on(findings, image),
        compared=[p for p in _compared(findings, image) if only in (None, p.finding)],
    )


def _shown_on(findings: Findings, image: ImageReading) -> tuple[Finding, ...]:
    """List the findings that a frame is the key image of."""
    return tuple(
        finding for finding in findings.reported if finding.key_image.frame_key == image.frame_key
    )


def _compared(findings: Findings, image: ImageReading) -> list[NormalPatch]:
    """List the nearest normal patches of the findings that a frame is the key image of."""
    patches = (findings.compared_with(finding.number) for finding in _shown_on(findings, image))
    return [patch for patch in patches if patch is not None]


def _fuse(
    reading: Reading,
    image: ImageReading,
    rgb: npt.NDArray[np.float32],
    *,
    orientation: tuple[str, str] | None,
    findings: Sequence[Finding] = (),
    compared: Sequence[NormalPatch] = (),
) -> RGB:
    """Draw the fused picture of a frame with the verdict, its score and its findings above.

    Findings whose nearest normal patch is known are shown beside it, at the right.
    """
    score = "not scored" if image.score is None else f"image score {image.score:.3g}"
    where = f"image {image.header.instance_number or '-'}"
    if image.frame_numbers is not None:
        where += f", frame {image.frame_number}"
    task = f"{to_ascii(reading.task_name)[:40]} version {reading.task_version}"
    lines = [
        f"{task}: study {reading.verdict}{_p_value(reading)}",
        "; ".join(filter(None, (f"{where}: {score}", _label(findings)))),
    ]
    if not reading.backbone_trained:
        lines.append("Untrained backbone: a demonstration without meaning")
    fused = fuse(
        rgb,
        source_map(image),
        operating_point=reading.operating_point,
        pixel_aspect=image.header.pixel_aspect,
        caption=Caption(lines, orientation),
        marks=[Mark(str(finding.number), finding.box) for finding in findings],
    )
    if not compared or image.placement is None:
        return fused
    seen = np.moveaxis(image.placement.to_input(rgb), 0, -1)
    found = np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8)
    return put_beside(fused, [Pair(normal, found, reading.k) for normal in compared])


def _p_value(reading: Reading) -> str:
    if reading.p_value is None:
        return ""
    mark = " (extrapolated)" if reading.extrapolated(reading.p_value) else ""
    return f", p = {reading.p_value:.2g}{mark}"


def _label(findings: Sequence[Finding]) -> str:
    """Name the findings of a picture; a single one with its size and slices."""
    if len(findings) == 1:
        finding = findings[0]
        return f"finding {finding.number}: {describe_size(finding)}, {describe_slices(finding)}"
    return f"findings {', '.join(str(f.number) for f in findings)}" if findings else ""


def _decode(
    images: Sequence[ImageReading], reading: Reading
) -> Iterator[tuple[ImageReading, npt.NDArray[np.float32]]]:
    """Decode the frames as displayed, each file once, in the order given."""
    by_path: dict[object, list[ImageReading]] = {}
    for image in images:
        by_path.setdefault(image.path, []).append(image)
    for wanted in by_path.values():
        numbers = {image.frame_number: image for image in wanted}
        for frame in iter_frames(wanted[0].path, window=reading.window):
            if frame.number in numbers:
                yield numbers[frame.number], frame.rgb
            if frame.number == max(numbers):
                break


def _patient_orientation(image: ImageReading, source: Dataset) -> tuple[str, str] | None:
    """Return the patient directions of rows and columns (PS3.3 C.7.6.1.1.1), if known."""
    if image.plane is not None:
        cosines = image.plane.orientation
        return _letter(cosines[:3]), _letter(cosines[3:])
    named = [str(value) for value in source.get("PatientOrientation") or ()]
    return (named[0], named[1]) if len(named) == 2 and all(named) else None


def _letter(direction: Sequence[float]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return _LETTERS[axis][0 if direction[axis] > 0 else 1]


def _source_item(image: ImageReading) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.header.sop_class_uid
    item.ReferencedSOPInstanceUID = image.header.sop_instance_uid
    if image.frame_numbers is not None:
        item.ReferencedFrameNumber = image.frame_number
    item.PurposeOfReferenceCodeSequence = [_SOURCE_IMAGE]
    return item


def save_key_objects(
    reading: Reading, flagged: Sequence[ImageReading], *, device: Device, save: Save
) -> None:
    """Make a Key Object Selection (TID 2010) of the flagged images, if there are any."""
    if not flagged:
        return
    source = read_source(flagged[0].path)
    classes = {image.header.sop_instance_uid: image.header.sop_class_uid for image in flagged}
    source.SOPClassUID = SECONDARY_CAPTURE
    evidence = {str(source.SOPInstanceUID): source}
    for image in flagged:
        evidence.setdefault(image.header.sop_instance_uid, _stand_in(image))
    content = KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=list(evidence.values()),
        observer_device_context=observer(device),
        description=(
            f"Images with a region above the operating point of task {to_ascii(reading.task_name)} "
            f"version {reading.task_version}. Chosen by a program. Not for diagnostic use."
        ),
    )
    document = KeyObjectSelectionDocument(
        evidence=list(evidence.values()),
        content=content,
        series_instance_uid=derive_uid(reading, "KO series"),
        series_number=SERIES_NUMBERS["KO"],
        sop_instance_uid=derive_uid(reading, "KO"),
        instance_number=1,
        series_description=series_description(reading, label="key images"),
        requested_procedures=referenced_requests(source),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **equipment_arguments(device),
    )
    _name_frames(document, flagged, classes)
    stamp(document, reading.finished_at)
    restore_text(source, document)
    save("KO", document)


def _stand_in(image: ImageReading) -> Dataset:
    header = image.header
    stand_in = Dataset()
    stand_in.SOPClassUID = SECONDARY_CAPTURE
    stand_in.SOPInstanceUID = header.sop_instance_uid
    stand_in.SeriesInstanceUID = header.series_instance_uid
    stand_in.StudyInstanceUID = header.study_instance_uid
    stand_in.Rows, stand_in.Columns = header.rows, header.columns
    return stand_in


def _name_frames(
    document: Dataset, flagged: Sequence[ImageReading], classes: dict[str, str]
) -> None:
    """Restore the sources' own SOP classes, and name the frames in the content items."""
    frames: dict[str, list[int]] = {}
    for image in flagged:
        if image.frame_numbers is not None:
            frames.setdefault(image.header.sop_instance_uid, []).append(image.frame_number)
    for item in references(document):
        uid = str(item.ReferencedSOPInstanceUID)
        item.ReferencedSOPClassUID = classes.get(uid, item.ReferencedSOPClassUID)
    for content_item in document.ContentSequence:
        for reference in content_item.get("ReferencedSOPSequence") or ():
            uid = str(reference.ReferencedSOPInstanceUID)
            if uid in frames:
                reference.ReferencedFrameNumber = frames[uid]
