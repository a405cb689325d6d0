"""Scores, maps and verdict of a small study by a fitted task."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom import dcmread
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, Detector, OperatingPoint, Verdict
from mediclip_dicom.imaging import Preparation, SourceImage, read_headers
from mediclip_dicom.results import Device, ImageReading, Reading, find, write_results
from mediclip_dicom.studies.analysis import OUT_OF_SCOPE, score_images
from mediclip_dicom.studies.reading import RevisionInfo, judge, make_reading
from mediclip_dicom.tasks import DetectorStore, FolderSource, Route, read_support_set
from tests.factories import modalities
from tests.factories.modalities import change
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import TASK, FittedTask, K

REVISION = RevisionInfo(
    number=2, content_digest="ab" * 32, analysed_at=datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
)
POINT = OperatingPoint((0.1, 0.2, 0.3, 0.4), 0.25, "counting")
"""Of four normals at a rate of a quarter: above the highest of them is abnormal."""
UNCALIBRATED = OperatingPoint((0.1, 0.2, 0.3, 0.4), 0.05)


def images_of(paths: list[Path]) -> tuple[SourceImage, ...]:
    return read_headers(paths)[0]


def broken(path: Path) -> None:
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[:64]
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def detector(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> Detector:
    return DetectorStore(fitted_sessions, backbone).get(fitted_task.registered.version.id)


def scored(
    images: tuple[SourceImage, ...],
    detector: Detector,
    task: FittedTask,
    maps_path: Path,
    *,
    batch_size: int = 2,
) -> tuple[ImageReading, ...]:
    return score_images(
        images,
        detector=detector,
        version=task.registered.version,
        maps_path=maps_path,
        batch_limit=batch_size,
    )


def reading_of(
    paths: list[Path], detector: Detector, task: FittedTask, backbone: Backbone, folder: Path
) -> Reading:
    return make_reading(
        scored(images_of(paths), detector, task, folder / "maps.npy"),
        version=task.registered.version,
        revision=REVISION,
    )


def test_a_study_becomes_a_reading_with_a_score_and_a_map_for_every_slice(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 30, step=2.0)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    assert [image.path for image in reading.images] == paths
    for image in reading.images:
        assert image.score is not None
        anomaly_map = image.read_map()
        assert anomaly_map.shape == (224, 224)
        assert anomaly_map.dtype == np.float32
        assert anomaly_map.min() >= 0
        assert image.score <= anomaly_map.max() <= 1
        assert image.placement is not None
        assert (image.placement.rows, image.placement.columns) == (48, 64)
    first, middle, last = (image.read_map() for image in reading.images)
    smoothed = (
        0.75 * first + 0.25 * middle,
        0.25 * first + 0.5 * middle + 0.25 * last,
        0.25 * middle + 0.75 * last,
    )
    placement = reading.images[0].placement
    assert placement is not None
    highest = max(float(placement.to_source(one.astype(np.float32)).max()) for one in smoothed)
    assert reading.smoothed
    assert reading.score == pytest.approx(highest, abs=1e-6)
    assert reading.study_instance_uid == study_uid(30)


def test_a_reading_says_by_what_and_on_what_it_was_made(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    reading = reading_of(mr_study(tmp_path, 31), detector, fitted_task, backbone, tmp_path)
    version = fitted_task.registered.version
    assert (reading.task_name, reading.task_version) == (TASK, 1)
    assert reading.task_version_uid == version.uid
    assert (reading.k, reading.preset, reading.backbone) == (K, "tiny", "untrained")
    assert not reading.backbone_trained
    assert reading.backbone_sha256 == backbone.sha256
    assert reading.weights_sha256 == detector.sha256
    assert reading.operating_point == version.operating_point.threshold
    assert (reading.revision, reading.study_content_digest) == (2, "ab" * 32)
    assert reading.finished_at == REVISION.analysed_at


def test_thick_slices_are_judged_each_alone(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 30, step=4.0)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    assert reading.smoothed
    highest = 0.0
    for image in reading.images:
        assert image.placement is not None
        highest = max(highest, float(image.placement.to_source(image.read_map()).max()))
    assert reading.score == pytest.approx(highest, abs=1e-6)


def test_a_version_calibrated_on_image_scores_keeps_their_maximum(
    detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    images = scored(
        images_of(mr_study(tmp_path, 36, step=2.0)), detector, fitted_task, tmp_path / "maps.npy"
    )
    version = fitted_task.registered.version
    before = replace(version, calibration=replace(version.calibration, smoothed=False))
    assert before.calibration.outdated
    reading = make_reading(images, version=before, revision=REVISION)
    assert not reading.smoothed
    assert reading.score == max(image.score for image in images if image.score is not None)


@pytest.mark.parametrize("step", [2.0, 4.0], ids=["thin", "thick"])
def test_findings_and_verdict_agree_at_every_operating_point(
    step: float, detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 37, slices=5, step=step)
    images = scored(images_of(paths), detector, fitted_task, tmp_path / "maps.npy")
    version = fitted_task.registered.version
    score = make_reading(images, version=version, revision=REVISION).score
    assert score is not None
    below = float(np.nextafter(np.float32(score), np.float32(0)))
    for threshold, found in ((below, True), (score, False)):
        point = OperatingPoint((threshold,) * 4, 0.25, "counting")
        reading = make_reading(
            images, version=replace(version, operating_point=point), revision=REVISION
        )
        assert (reading.verdict == Verdict.ABNORMAL) is found
        assert bool(find(reading).reported) is found
        # the regions themselves, whatever the verdict
        assert bool(find(replace(reading, verdict="abnormal")).reported) is found


@pytest.mark.parametrize("slices", [1, 2])
def test_a_study_with_fewer_images_than_the_calibrated_ones_has_a_verdict(
    slices: int,
    detector: Detector,
    fitted_task: FittedTask,
    backbone: Backbone,
    tmp_path: Path,
) -> None:
    paths = mr_study(tmp_path, 39, slices=slices, step=2.0)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    point = fitted_task.registered.version.operating_point
    scores = [image.score for image in reading.images if image.score is not None]
    assert len(scores) == slices
    assert reading.score is not None
    # one slice has no neighbour to be averaged with
    assert reading.score == scores[0] if slices == 1 else reading.score < max(scores)
    assert reading.verdict == point.verdict(reading.score)
    assert reading.verdict != Verdict.UNDETERMINED
    assert reading.p_value == point.p_value(reading.score)


def test_a_support_study_is_scored_by_the_images_and_the_rule_that_score_a_new_study(
    detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path / "study", 40, slices=7, step=2.0)
    change(paths[0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    change(paths[3], ImageOrientationPatient=[1, 0, 0, 1, 0, 0])  # no plane has such axes
    readings = scored(images_of(paths), detector, fitted_task, tmp_path / "maps.npy")
    support = read_support_set(
        FolderSource((tmp_path / "study",)),
        route=Route("MR"),
        preparation=Preparation("pad"),
        images_per_study=2,
    )
    (study,) = support.studies
    judged = [image for image in readings if image.score is not None]
    assert [(f.header.sop_instance_uid, f.frame_number) for f in study.frames] == [
        image.frame_key for image in judged
    ]
    assert len(judged) == 5
    assert sorted(str(skipped.path) for skipped in support.left_out) == [
        str(paths[0]),
        str(paths[3]),
    ]
    assert study.sampled
    images = torch.cat(list(study.batches(4)))
    found = detector.score(images, series_places=study.series_places())
    peak = study.peak(found.maps, found.scores)
    reading = make_reading(readings, version=fitted_task.registered.version, revision=REVISION)
    assert peak.score == pytest.approx(reading.score, abs=1e-5)
    assert support.image_at(0, peak.frame)[1] in {image.header.sop_instance_uid for image in judged}


def test_a_lesion_scores_above_every_normal_and_its_place_is_marked(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 32, lesion=True)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    assert reading.verdict == Verdict.ABNORMAL
    assert reading.operating_point is not None
    assert reading.p_value is not None
    assert 0 < reading.p_value < 1 / (K + 1)  # by the tail: no counting of K reaches it
    for image in reading.images:
        assert image.placement is not None
        on_source = image.placement.to_source(image.read_map())
        inside, outside = on_source[16:28, 28:42], on_source[:8]
        assert inside.mean() > outside.mean()
        assert inside.max() > reading.operating_point


def test_a_study_of_another_kind_is_undetermined_and_says_why(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 33)
    for path in paths:
        dataset = dcmread(path)
        stripes = np.indices((dataset.Rows, dataset.Columns))[1] % 8 < 4
        dataset.PixelData = np.where(stripes, 900, 0).astype("<u2").tobytes()
        dataset.save_as(path, enforce_file_format=True)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    assert reading.verdict == Verdict.UNDETERMINED
    assert reading.score is None
    assert {image.skipped for image in reading.images} <= {
        f"{OUT_OF_SCOPE}{kind} unlike the support set"
        for kind in ("content", "grey levels", "shape or orientation")
    }
    assert all(image.map is None for image in reading.images)


def test_scores_do_not_depend_on_how_frames_are_batched(
    detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    images = images_of(mr_study(tmp_path, 33))
    alone = scored(images, detector, fitted_task, tmp_path / "1.npy", batch_size=1)
    together = scored(images, detector, fitted_task, tmp_path / "16.npy", batch_size=16)
    assert [s.score for s in alone] == pytest.approx([s.score for s in together], abs=1e-5)
    one, other = np.load(tmp_path / "1.npy"), np.load(tmp_path / "16.npy")
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_frame_that_cannot_be_read_has_a_reason_and_no_map_and_moves_no_other(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 34)
    whole = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    broken(paths[1])
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    first, unread, last = reading.images
    assert (unread.score, unread.map, unread.placement) == (None, None, None)
    assert unread.skipped is not None
    assert "cannot be decoded" in unread.skipped
    assert first.score == pytest.approx(whole.images[0].score, abs=1e-5)
    assert last.score == pytest.approx(whole.images[2].score, abs=1e-5)
    assert float(last.read_map().max()) > 0


def test_a_localizer_is_left_out_and_keeps_no_study_from_normal(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 38)
    whole = reading_of(paths[1:], detector, fitted_task, backbone, tmp_path)
    modalities.change(paths[0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    (left_out,) = [image for image in reading.images if image.skipped is not None]
    assert left_out.path == paths[0]
    assert left_out.left_out
    assert reading.verdict == whole.verdict == Verdict.NORMAL
    assert reading.score == pytest.approx(whole.score, abs=1e-5)


def test_a_study_of_which_nothing_can_be_read_is_undetermined(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 35)
    for path in paths:
        broken(path)
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    assert reading.verdict == Verdict.UNDETERMINED
    assert (reading.score, reading.p_value) == (None, None)
    assert len(reading.images) == 3


@pytest.mark.parametrize(
    ("scores", "point", "verdict"),
    [
        ((0.1, 0.39), POINT, Verdict.NORMAL),
        ((0.1, 0.4), POINT, Verdict.NORMAL),
        ((0.1, 0.41), POINT, Verdict.ABNORMAL),
        ((0.99, 0.1), POINT, Verdict.ABNORMAL),
        ((0.99,), UNCALIBRATED, Verdict.UNDETERMINED),
        ((0.01,), UNCALIBRATED, Verdict.UNDETERMINED),
    ],
)
def test_one_image_above_the_operating_point_makes_a_study_abnormal(
    scores: tuple[float, ...], point: OperatingPoint, verdict: Verdict
) -> None:
    found = judge(scores, point)
    assert found.verdict is verdict
    assert found.score == max(scores)


def test_a_study_with_an_unread_image_is_never_called_normal() -> None:
    assert judge([0.1, None], POINT).verdict is Verdict.UNDETERMINED
    assert judge([0.9, None], POINT).verdict is Verdict.ABNORMAL
    nothing = judge([None, None], POINT)
    assert (nothing.verdict, nothing.score, nothing.p_value) == (Verdict.UNDETERMINED, None, None)


def test_scoring_reports_how_far_it_is(
    detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    score_images(
        images_of(mr_study(tmp_path, 36, step=2.0)),
        detector=detector,
        version=fitted_task.registered.version,
        maps_path=tmp_path / "deep" / "maps.npy",
        batch_limit=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 3), (3, 3)]


def test_a_slice_whose_header_contradicts_itself_is_left_out_and_the_report_says_why(
    detector: Detector, fitted_task: FittedTask, backbone: Backbone, tmp_path: Path
) -> None:
    paths = mr_study(tmp_path, 33)
    change(paths[1], ImageOrientationPatient=[1, 0, 0, 0.3, 0.95, 0])
    reading = reading_of(paths, detector, fitted_task, backbone, tmp_path)
    skipped = [image.skipped for image in reading.images if image.skipped]
    assert len(skipped) == 1
    assert "not unit vectors at right angles" in skipped[0]
    assert reading.verdict != Verdict.NORMAL
    device = Device(
        uid="2.25.1", name="n", manufacturer="m", model="m", serial="1", software_version="0"
    )
    report = write_results(reading, device=device, directory=tmp_path / "out")[-1].path
    text = dcmread(report).to_json()
    assert f"Not analysed (1), {skipped[0]}: {dcmread(paths[1]).SOPInstanceUID}" in text


def test_a_slice_is_scored_by_its_place_along_the_series_and_not_by_the_order_of_files(
    detector: Detector, fitted_task: FittedTask, tmp_path: Path
) -> None:
    images = images_of(mr_study(tmp_path, 33))
    shuffled = (images[2], images[0], images[1])
    found = {
        reading.source.header.sop_instance_uid: reading.score
        for reading in scored(images, detector, fitted_task, tmp_path / "maps.npy", batch_size=1)
    }
    again = scored(shuffled, detector, fitted_task, tmp_path / "shuffled.npy", batch_size=1)
    assert {one.source.header.sop_instance_uid: one.score for one in again} == found
    first, last = (dcmread(images[n].path).ImagePositionPatient for n in (0, 2))
    change(images[0].path, ImagePositionPatient=list(last))
    change(images[2].path, ImagePositionPatient=list(first))
    moved = scored(
        images_of([image.path for image in images]),
        detector,
        fitted_task,
        tmp_path / "moved.npy",
        batch_size=1,
    )
    by_uid = {one.source.header.sop_instance_uid: one.score for one in moved}
    assert by_uid[images[1].header.sop_instance_uid] == found[images[1].header.sop_instance_uid]
    assert by_uid[images[0].header.sop_instance_uid] != found[images[0].header.sop_instance_uid]
