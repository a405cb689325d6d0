"""From the files of normal studies to an active task version, or to nothing at all."""

import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import (
    Backbone,
    BackboneUnavailableError,
    CalibrationError,
    FitProgress,
    SupportSetError,
)
from ai_core.normal_tail import log_odds
from mediclip_dicom.database import Base, SupportItem, TaskVersion
from mediclip_dicom.errors import RateNotReachableError, SupportSetReadError, TaskError
from mediclip_dicom.imaging import Preparation
from mediclip_dicom.settings import BackboneSettings
from mediclip_dicom.tasks import (
    DetectorStore,
    FolderSource,
    Route,
    active_version,
    open_backbone,
    read_support_set,
    register_from_paths,
)
from tests.factories import sources
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import SMALLEST, TASK, FittedTask, K, request_for


def rows(sessions: sessionmaker[Session]) -> int:
    with sessions() as session:
        counts = [
            session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        ]
    return sum(counts)


def test_k_normal_studies_become_an_active_calibrated_version(fitted_task: FittedTask) -> None:
    registered = fitted_task.registered
    version = registered.version
    assert (version.number, version.k, version.preset) == (1, K, "tiny")
    assert registered.images == 3 * K
    assert registered.left_out == ()
    assert len(version.operating_point.normal_scores) == K
    assert version.operating_point.calibrated
    threshold = version.operating_point.threshold
    assert threshold is not None
    assert min(version.operating_point.normal_scores) < threshold < 1


def test_the_version_names_rule_folds_and_the_normal_study_that_decides(
    fitted_task: FittedTask, fitted_sessions: sessionmaker[Session]
) -> None:
    calibration = fitted_task.registered.version.calibration
    assert (calibration.rule, calibration.folds, calibration.extrapolated) == ("tail", 2, False)
    deciding = calibration.deciding
    assert deciding is not None
    assert deciding.study in {study_uid(number) for number in range(K)}
    assert deciding.score in fitted_task.registered.version.operating_point.normal_scores
    assert deciding.gap >= 0
    assert deciding.study == study_uid(deciding.number - 1)
    images = {dcmread(file).SOPInstanceUID: dcmread(file) for file in fitted_task.normals}
    assert images[deciding.image].StudyInstanceUID == deciding.study
    with fitted_sessions() as session:
        assert active_version(session, TASK).calibration == calibration


def test_a_version_of_0_1_0_keeps_its_rule_and_its_verdicts(
    fitted_sessions: sessionmaker[Session],
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(
            update(TaskVersion).values(
                calibration=None, normal_scores=[0.1, 0.2, 0.3, 0.4], false_positive_rate=0.25
            )
        )
    with fitted_sessions() as session:
        version = active_version(session, TASK)
    assert version.calibration.outdated
    assert version.operating_point.rule == "counting"
    assert version.operating_point.threshold == 0.4
    assert version.operating_point.p_value(0.9) == 0.2


def test_the_version_says_what_it_was_fitted_on(
    fitted_sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    with fitted_sessions() as session:
        version = session.scalars(select(TaskVersion)).one()
        assert version.backbone_sha256 == backbone.sha256
        assert version.seed == 7
        items = session.scalars(select(SupportItem)).all()
    assert {item.study for item in items} == {study_uid(number) for number in range(K)}
    assert len({item.digest for item in items}) == len(items) == 3 * K
    detector = DetectorStore(fitted_sessions, backbone).get(version.id)
    assert set(detector.info.support_sha256) == {item.digest for item in items}


def test_the_same_files_and_seed_give_the_same_detector(
    sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> None:
    request = request_for(preset=SMALLEST, images_per_study=1)
    first, again, other = (
        register_from_paths(sessions, fitted_task.normals, each, backbone=backbone).version
        for each in (request, request, replace(request, seed=8))
    )
    assert again.weights_sha256 == first.weights_sha256
    assert again.operating_point == first.operating_point
    assert other.weights_sha256 != first.weights_sha256


def test_too_few_normals_for_the_rate_are_refused_before_the_fit(
    sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> None:
    before = rows(sessions)
    stages: list[FitProgress] = []
    with pytest.raises(RateNotReachableError, match="2 normal studies can promise no less") as seen:
        register_from_paths(
            sessions,
            fitted_task.normals[:6],
            request_for(false_positive_rate=0.05, preset=SMALLEST),
            backbone=backbone,
            fit_progress=stages.append,
        )
    assert seen.value.normals_needed == 8
    assert seen.value.lowest_rate == pytest.approx(1 / 3, abs=1e-3)
    assert seen.value.lowest_rate >= 1 / 3
    assert stages == []
    assert rows(sessions) == before


def test_one_normal_study_is_too_few_and_nothing_is_stored(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    before = rows(sessions)
    with pytest.raises(TaskError, match="at least 2 normal studies, and 1 was given"):
        register_from_paths(sessions, mr_study(tmp_path, 1), request_for(), backbone=backbone)
    assert rows(sessions) == before


def test_one_study_given_twice_is_one_study(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    mr_study(tmp_path / "first", 1)
    shutil.copytree(tmp_path / "first", tmp_path / "again")
    with pytest.raises(TaskError, match="at least 2 normal studies, and 1 was given"):
        register_from_paths(sessions, [tmp_path], request_for(), backbone=backbone)


def test_files_of_another_modality_only_are_refused_with_the_reason(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    sources.computed_radiograph(tmp_path)
    with pytest.raises(SupportSetReadError, match="the task reads MR, body part BRAIN"):
        register_from_paths(sessions, [tmp_path], request_for(), backbone=backbone)


def test_files_that_were_not_used_are_counted_by_reason(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    folder = tmp_path / "normals"
    for number in (1, 2):
        mr_study(folder, number, slices=1)
        sources.computed_radiograph(folder, series=number)
    (folder / "notes.txt").write_text("normal studies")
    registered = register_from_paths(
        sessions,
        [folder],
        request_for(preset=SMALLEST, false_positive_rate=0.5),
        backbone=backbone,
    )
    assert registered.left_out == (
        ("the task reads MR, body part BRAIN", 2),
        ("neither DICOM nor a picture", 1),
    )


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none_is_refused_before_anything_is_read(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone, rate: float
) -> None:
    with pytest.raises(CalibrationError, match="must be between 0 and 1"):
        register_from_paths(
            sessions,
            [tmp_path / "is not looked for"],
            request_for(false_positive_rate=rate),
            backbone=backbone,
        )


@pytest.mark.parametrize("name", ["", " ", "-leading", "brain mr", "br/ain", "[red]", "x" * 65])
def test_a_name_that_cannot_be_typed_or_stored_is_refused_before_anything_is_read(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone, name: str
) -> None:
    with pytest.raises(TaskError, match="can't be a task's name"):
        register_from_paths(
            sessions, [tmp_path / "is not looked for"], request_for(name), backbone=backbone
        )


def test_a_task_without_modality_is_refused(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    with pytest.raises(TaskError, match="modality"):
        register_from_paths(sessions, [tmp_path], request_for(route=Route(" ")), backbone=backbone)


def test_a_broken_file_in_the_middle_leaves_the_database_as_it_was(
    fitted_sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    before = rows(fitted_sessions)
    paths = [path for number in (1, 2, 3) for path in mr_study(tmp_path, number)]
    dataset = dcmread(paths[4])
    dataset.PixelData = dataset.PixelData[:64]
    dataset.save_as(paths[4], enforce_file_format=True)
    with pytest.raises(SupportSetReadError):
        register_from_paths(fitted_sessions, paths, request_for(), backbone=backbone)
    assert rows(fitted_sessions) == before
    with fitted_sessions() as session:
        assert active_version(session, TASK).number == 1


def test_a_registration_that_is_broken_off_leaves_the_database_as_it_was(
    fitted_sessions: sessionmaker[Session], fitted_task: FittedTask, backbone: Backbone
) -> None:
    before = rows(fitted_sessions)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register_from_paths(
            fitted_sessions,
            fitted_task.normals,
            request_for(seed=8),
            backbone=backbone,
            fit_progress=stop,
        )
    assert rows(fitted_sessions) == before


def test_identical_pictures_count_as_one_study_and_are_refused(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (64, 64), dtype=np.uint8)
    for number in range(6):
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    with pytest.raises(TaskError, match="at least 2 normal studies, and 1 was given"):
        register_from_paths(sessions, [tmp_path], request_for(), backbone=backbone)
    assert rows(sessions) == 0


def test_pictures_without_any_structure_are_refused(
    sessions: sessionmaker[Session], tmp_path: Path, backbone: Backbone
) -> None:
    for path in [p for number in (1, 2) for p in mr_study(tmp_path, number)]:
        dataset = dcmread(path)
        dataset.PixelData = bytes(len(dataset.PixelData))
        dataset.save_as(path, enforce_file_format=True)
    with pytest.raises((SupportSetReadError, SupportSetError), match="blank"):
        register_from_paths(sessions, [tmp_path], request_for(), backbone=backbone)


def test_a_backbone_that_cannot_be_had_says_where_it_was_looked_for(tmp_path: Path) -> None:
    unknown = BackboneSettings(model="ViT-L-14", weights=str(tmp_path / "missing.safetensors"))
    with pytest.raises(BackboneUnavailableError, match="there is no such file") as caught:
        open_backbone(unknown)
    assert "missing.safetensors" in str(caught.value)
    assert "give its path as the weights" in str(caught.value)


def test_a_model_that_does_not_exist_is_named(tmp_path: Path) -> None:
    unknown = BackboneSettings(model="ViT-XXL-99", weights="openai", cache_dir=tmp_path)
    with pytest.raises(BackboneUnavailableError, match="ViT-XXL-99"):
        open_backbone(unknown)


def test_a_normal_study_is_calibrated_on_all_its_images_and_not_only_on_those_fitted_on(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    paths = [p for n in range(K) for p in mr_study(tmp_path / f"normal-{n}", n, slices=4)]
    plain = register_from_paths(
        sessions, paths, request_for(images_per_study=1), backbone=backbone
    ).version.operating_point
    # The third of four slices is the one that the support set takes; the first stands apart.
    bright = mr_study(tmp_path / "bright", 0, slices=4, lesion=True)[0]
    shutil.copy(bright, paths[0])
    unusual = register_from_paths(
        sessions, paths, request_for(images_per_study=1), backbone=backbone
    ).version.operating_point
    before, after = (
        [log_odds(score) for score in point.normal_scores] for point in (plain, unusual)
    )
    apart = [
        (a, b)
        for a, b in combinations(range(K), 2)
        if after[a] - after[b] != pytest.approx(before[a] - before[b], abs=1e-3)
    ]
    # its own fold's scale follows it, so that it moves from its fold mate and both from the others
    kept = [pair for pair in combinations(range(1, K), 2) if pair not in apart]
    (others,) = kept
    (mate,) = {1, 2, 3} - {*others}
    assert after[0] - after[mate] > before[0] - before[mate] + 1


def test_the_ends_of_a_normal_series_are_in_scope_although_none_was_fitted_on(
    tmp_path: Path, sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    paths = [p for n in range(K + 1) for p in mr_study(tmp_path / f"normal-{n}", n, slices=4)]
    for path in paths[::4]:  # the first of four slices is one that the support set leaves out
        dataset = dcmread(path)
        stripes = np.indices((dataset.Rows, dataset.Columns))[1] % 8 < 4
        dataset.PixelData = (stripes * 900 + dataset.pixel_array // 64).astype("<u2").tobytes()
        dataset.save_as(path, enforce_file_format=True)
    version = register_from_paths(
        sessions, paths[: 4 * K], request_for(images_per_study=1), backbone=backbone
    ).version
    detector = DetectorStore(sessions, backbone).get(version.id)
    support = read_support_set(
        FolderSource(tuple(paths[4 * K :])),
        route=Route("MR"),
        preparation=Preparation("pad"),
        images_per_study=4,
    )
    assert detector.score(support.images).in_scope.tolist() == [True] * 4
