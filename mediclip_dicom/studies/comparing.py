"""Comparison of findings with the support set: a second look at their key images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, Detector
from ai_core.model import NearestPatches
from mediclip_dicom.imaging import INPUT_SIZE, Box, iter_input_frames, series_places
from mediclip_dicom.results import Finding, Findings, ImageReading, NormalPatch, PatchPlace, Reading
from mediclip_dicom.tasks import SupportPicture, TaskVersionInfo, read_support_pictures


def compare_findings(
    sessions: sessionmaker[Session],
    reading: Reading,
    findings: Findings,
    *,
    version: TaskVersionInfo,
    detector: Detector,
    backbone: Backbone,
) -> tuple[NormalPatch, ...] | None:
    """Find the normal patch nearest to the peak of each reported finding.

    Only the key images pass the tower again, so that scoring keeps no tokens.

    Args:
        sessions: of the database, which holds the pictures of the support images.
        reading: the reading; its other images tell the place of a key image along its series.
        findings: those of the reading.
        version: the task version that read the study.
        detector: its detector.
        backbone: the tower that the detector was fitted on.

    Returns:
        A patch for each reported finding, in their order; None where the version does not know
        where the patches of its bank come from, or shows an image in several windows.
    """
    if version.preparation.views.count > 1:
        return None
    headers = {image.header.sop_instance_uid: image.header for image in reading.images}
    along = series_places(headers.values())
    found: list[tuple[Finding, NearestPatches, int, PatchPlace, int]] = []
    for image, pixels in _decode(findings, version):
        here = [f for f in findings.reported if f.key_image.frame_key == image.frame_key]
        encoded = backbone.encode(torch.from_numpy(pixels)[None], precision=detector.info.precision)
        grid = math.isqrt(encoded.tokens.shape[2])
        peaks = [_patch_of(finding, grid=grid) for finding in here]
        nearest = detector.nearest_patches(
            encoded.tokens,
            torch.tensor(peaks),
            series_places=torch.tensor([along.get(image.frame_key, math.nan)]),
        )
        if nearest is None:
            return None
        found += [
            (finding, nearest, row, peak, grid)
            for row, (finding, peak) in enumerate(zip(here, peaks, strict=True))
        ]
    with sessions() as session:
        pictures = read_support_pictures(
            session, version.id, (int(nearest.images[row]) for _, nearest, row, _, _ in found)
        )
    return tuple(
        _patch(finding, nearest, row, peak, grid=grid, pictures=pictures)
        for finding, nearest, row, peak, grid in sorted(found, key=lambda entry: entry[0].number)
        if int(nearest.images[row]) in pictures
    )


def _patch(
    finding: Finding,
    nearest: NearestPatches,
    row: int,
    peak: PatchPlace,
    *,
    grid: int,
    pictures: Mapping[int, SupportPicture],
) -> NormalPatch:
    index = int(nearest.images[row])
    support = pictures[index]
    place = nearest.places[row].tolist()
    return NormalPatch(
        finding=finding.number,
        number=int(nearest.studies[row]) + 1,
        study=support.study,
        image=support.image,
        frame=support.frame,
        index=index,
        grid=grid,
        peak=peak,
        place=(place[0], place[1]),
        distance=round(float(nearest.distances[row]), 4),
        picture=support.picture,
    )


def _decode(
    findings: Findings, version: TaskVersionInfo
) -> Iterator[tuple[ImageReading, npt.NDArray[np.float32]]]:
    """Decode each key image once, as it was scored."""
    keys = {finding.key_image.frame_key: finding.key_image for finding in findings.reported}
    for image in keys.values():
        for frame in iter_input_frames(
            [image.source], preparation=version.preparation, boxes=_box_of(image)
        ):
            if frame.frame == image.frame_number and frame.pixels is not None:
                yield image, frame.pixels[0]
                break


def _box_of(image: ImageReading) -> Mapping[str, Box]:
    """Return the box that the image was scored in, by its SOP Instance UID."""
    if image.placement is None or image.placement.box is None:
        return {}
    return {image.header.sop_instance_uid: image.placement.box}


def _patch_of(finding: Finding, *, grid: int) -> PatchPlace:
    """Return the patch of a finding's peak in the detector's input."""
    placement = finding.key_image.placement
    if placement is None:
        raise ValueError("a key image has been scored")
    first_row, first_column, _, _ = placement.source_box
    rows_per_pixel, columns_per_pixel = placement.scale
    row = placement.top + (finding.peak_row - 0.5 - first_row) * rows_per_pixel
    column = placement.left + (finding.peak_column - 0.5 - first_column) * columns_per_pixel
    return int(row * grid // INPUT_SIZE), int(column * grid // INPUT_SIZE)
