"""Findings beside the normal patch that is nearest to them, kept with the finding."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, Detector
from ai_core.storage import pack, unpack
from mediclip_dicom.database import SupportItem
from mediclip_dicom.imaging import iter_input_frames
from mediclip_dicom.results import Reading, find
from mediclip_dicom.studies import (
    RevisionInfo,
    compare_findings,
    make_reading,
    score_images,
)
from mediclip_dicom.studies.findings import finding_rows, findings_from_json, findings_to_json
from mediclip_dicom.tasks import DetectorStore, read_images, read_support_pictures
from tests.factories.readings import FINISHED
from tests.factories.studies import mr_study
from tests.factories.tasks import FittedTask, K


@pytest.fixture
def detectors(fitted_sessions: sessionmaker[Session], backbone: Backbone) -> DetectorStore:
    return DetectorStore(fitted_sessions, backbone)


def reading_of(
    paths: Sequence[Path], detector: Detector, task: FittedTask, folder: Path
) -> Reading:
    version = task.registered.version
    images = score_images(
        read_images(paths), detector=detector, version=version, maps_path=folder / "maps.npy"
    )
    revision = RevisionInfo(number=1, content_digest="ab" * 32, analysed_at=FINISHED)
    return make_reading(images, version=version, revision=revision)


def test_the_version_keeps_the_pictures_that_the_detector_saw(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask
) -> None:
    version = fitted_task.registered.version
    images = read_images(fitted_task.normals)
    with fitted_sessions() as session:
        count = len(session.scalars(select(SupportItem.id)).all())
        kept = read_support_pictures(session, version.id, range(-1, count + 1))
    assert sorted(kept) == list(range(count))
    inputs = {
        (frame.image.header.sop_instance_uid, frame.frame): frame.pixels[0]
        for frame in iter_input_frames(images, preparation=version.preparation)
        if frame.pixels is not None
    }
    for support in kept.values():
        assert support.picture is not None
        pixels = inputs[support.image, support.frame]
        assert pixels is not None
        assert np.abs(np.moveaxis(support.picture, -1, 0) / 255 - pixels).max() <= 0.5 / 255 + 1e-6


def test_a_finding_is_compared_with_the_nearest_patch_of_the_support_set(
    detectors: DetectorStore,
    fitted_sessions: sessionmaker[Session],
    fitted_task: FittedTask,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    version = fitted_task.registered.version
    detector = detectors.get(version.id)
    reading = reading_of(mr_study(tmp_path, 32, lesion=True), detector, fitted_task, tmp_path)
    findings = find(reading)
    compared = compare_findings(
        fitted_sessions, reading, findings, version=version, detector=detector, backbone=backbone
    )
    assert compared is not None
    assert [patch.finding for patch in compared] == [f.number for f in findings.reported]
    for patch, finding in zip(compared, findings.reported, strict=True):
        assert 1 <= patch.number <= K
        assert patch.picture is not None
        assert 0 < patch.distance < 2
        # The peak is inside of the finding, and the map is highest there.
        top, left, bottom, right = finding.box
        assert top <= finding.peak_row <= bottom
        assert left <= finding.peak_column <= right
        placement = finding.key_image.placement
        assert placement is not None
        on_source = placement.to_source(finding.key_image.read_map())
        inside = on_source[top - 1 : bottom, left - 1 : right]
        assert on_source[finding.peak_row - 1, finding.peak_column - 1] == inside.max()
    with_them = dataclasses.replace(findings, compared=compared)
    rows = finding_rows(with_them)
    assert rows.reported[0].normal is not None
    assert findings_from_json(findings_to_json(rows)) == rows


def test_a_normal_image_as_a_finding_is_compared_with_itself(
    detectors: DetectorStore,
    fitted_sessions: sessionmaker[Session],
    fitted_task: FittedTask,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    """Its own patch is in the bank, at distance 0: study, image and place must be its own."""
    version = fitted_task.registered.version
    detector = detectors.get(version.id)
    reading = reading_of(fitted_task.normals[:3], detector, fitted_task, tmp_path)
    (study,) = {image.header.study_instance_uid for image in reading.images}
    reading = dataclasses.replace(reading, verdict="abnormal", operating_point=0.01)
    findings = find(reading)
    compared = compare_findings(
        fitted_sessions, reading, findings, version=version, detector=detector, backbone=backbone
    )
    assert compared
    own = {
        (finding.number, finding.key_image.header.sop_instance_uid) for finding in findings.reported
    }
    for patch in compared:
        assert patch.study == study
        assert (patch.finding, patch.image) in own
        assert patch.place == patch.peak
        assert patch.distance < 0.05


def test_a_detector_that_does_not_know_where_its_patches_come_from_compares_nothing(
    detectors: DetectorStore,
    fitted_sessions: sessionmaker[Session],
    fitted_task: FittedTask,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    version = fitted_task.registered.version
    detector = detectors.get(version.id)
    tensors, info = unpack(detector.to_bytes())
    for name in ("memory.images", "memory.patches"):  # as it was saved before 28 November 2026
        del tensors[name]
    old = Detector.from_bytes(pack(tensors, info), backbone=backbone)
    reading = reading_of(mr_study(tmp_path, 32, lesion=True), old, fitted_task, tmp_path)
    findings = find(reading)
    assert findings.reported
    compared = compare_findings(
        fitted_sessions, reading, findings, version=version, detector=old, backbone=backbone
    )
    assert compared is None
