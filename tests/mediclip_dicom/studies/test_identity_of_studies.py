"""SOP Instance UIDs that occur twice, and patients that share a study: neither gets a "normal"."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import Spool
from mediclip_dicom.database import TaskVersion
from mediclip_dicom.results import OTHER_PATIENT
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import Intake, open_spool, study_content, unread_studies
from tests.factories.answers import comments_of, sent
from tests.factories.nodes import Destination
from tests.factories.received import receive
from tests.factories.studies import PATIENT_ID, mr_study, study_uid

BOB: dict[str, Any] = {
    "PatientID": "PID-2",
    "PatientName": "Bravo^Bob",
    "PatientBirthDate": "19551231",
}


@pytest.fixture
def archive() -> Iterator[Destination]:
    destination = Destination()
    yield destination
    destination.stop()


@pytest.fixture
def lenient(fitted_sessions: sessionmaker[Session]) -> None:
    """Raise the operating point above every score, so that all that is read is normal."""
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(normal_scores=[0.999999] * 4))


def second_series(
    folder: Path, number: int, *, like: list[Path], seed: int = 90, **attributes: Any
) -> list[Path]:
    """A series of other pictures in the same study, whose SOP Instance UIDs are those of `like`."""
    paths = mr_study(folder, seed, StudyInstanceUID=study_uid(number), **attributes)
    for path, other in zip(paths, like, strict=True):
        dataset = dcmread(path)
        dataset.SOPInstanceUID = dcmread(other).SOPInstanceUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(path, enforce_file_format=True)
    return paths


def with_policy(settings: Settings, policy: str) -> Settings:
    gathering = settings.gathering.model_copy(update={"same_uid": policy})
    return settings.model_copy(update={"gathering": gathering})


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("policy", ["replace", "keep-first"])
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_series_under_the_uids_of_another_is_unread_and_the_study_is_never_normal(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
    policy: str,
    restart: bool,
    reverse: bool,
) -> None:
    one = mr_study(tmp_path / "one", 71)
    two = second_series(tmp_path / "two", 71, like=one)
    first, second = (two, one) if reverse else (one, two)
    answer = sent(
        with_policy(node_settings, policy),
        fitted_sessions,
        backbone,
        archive,
        study_uid(71),
        first,
        second,
        restart=restart,
    )
    assert answer.verdicts == ["normal", "undetermined"]
    text = "\n".join(comments_of(answer.report))
    assert "3 of 6 frames analysed" in text
    assert f"another series, series {dcmread(second[0]).SeriesInstanceUID}" in text
    assert all(dcmread(path).SOPInstanceUID in text for path in second)


@pytest.mark.usefixtures("lenient")
def test_two_series_of_one_association_are_no_versions_of_each_other(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
) -> None:
    one = mr_study(tmp_path / "one", 72)
    two = second_series(tmp_path / "two", 72, like=one)
    answer = sent(node_settings, fitted_sessions, backbone, archive, study_uid(72), [*one, *two])
    assert answer.verdicts == ["undetermined"]


@pytest.mark.usefixtures("lenient")
def test_a_corrected_image_of_the_same_series_replaces_its_older_version(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
) -> None:
    one = mr_study(tmp_path / "one", 73)
    again = second_series(
        tmp_path / "two", 73, like=one, SeriesInstanceUID=dcmread(one[0]).SeriesInstanceUID
    )
    answer = sent(node_settings, fitted_sessions, backbone, archive, study_uid(73), [*one, *again])
    assert answer.verdicts == ["normal"]
    assert "3 of 3 frames analysed" in "\n".join(comments_of(answer.report))


@pytest.mark.parametrize(("policy", "unread"), [("replace", 0), ("keep-first", 3)])
def test_what_keep_first_leaves_unread_counts_unless_it_is_the_same_picture(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    policy: str,
    unread: int,
) -> None:
    one = mr_study(tmp_path / "one", 74)
    series = dcmread(one[0]).SeriesInstanceUID
    again = second_series(tmp_path / "two", 74, like=one, SeriesInstanceUID=series)
    with open_spool(with_policy(node_settings, policy)) as spool, fitted_sessions() as session:
        for path in one:
            receive(spool, path)
            dataset = dcmread(path)
            dataset.SeriesDescription = "coerced by a PACS"
            dataset.save_as(tmp_path / "coerced.dcm")
            receive(spool, tmp_path / "coerced.dcm")
        before = study_content(session, spool, study_uid(74))
        assert (before.unread, before.set_aside) == ((), 3)
        for path in again:
            receive(spool, path)
        after = study_content(session, spool, study_uid(74))
    assert (len(after.unread), after.set_aside) == (unread, 6)
    assert after.digest != before.digest


@pytest.mark.parametrize(
    "attributes",
    [BOB, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "Modality": "CT"}],
)
def test_an_image_of_another_patient_or_kind_is_no_newer_version(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    attributes: dict[str, Any],
) -> None:
    one = mr_study(tmp_path / "one", 75)
    series = dcmread(one[0]).SeriesInstanceUID
    other = second_series(tmp_path / "two", 75, like=one, SeriesInstanceUID=series, **attributes)
    with open_spool(node_settings) as spool, fitted_sessions() as session:
        for path in [*one, *other]:
            receive(spool, path)
        content = study_content(session, spool, study_uid(75))
        assert [dcmread(item.path).PatientID for item in content.instances] == [PATIENT_ID] * 3
        assert {dcmread(item.path).Modality for item in content.instances} == {"MR"}
        assert len(content.unread) == 3


def test_a_study_with_a_second_series_since_it_was_read_is_found_unread_at_a_start(
    tmp_path: Path, node_settings: Settings, fitted_sessions: sessionmaker[Session]
) -> None:
    one = mr_study(tmp_path / "one", 76)
    with Spool(tmp_path / "spool") as spool:
        intake = Intake(node_settings, fitted_sessions, spool)
        for path in one:
            receive(spool, path)
        intake.route(intake.take_revision(study_uid(76)))
        assert unread_studies(fitted_sessions, spool) == []
        for path in second_series(tmp_path / "two", 76, like=one):
            receive(spool, path)
        assert [item.study_uid for item in unread_studies(fitted_sessions, spool)] == [
            study_uid(76)
        ]


def test_two_patients_of_one_study_are_undetermined_and_no_report_names_the_other(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
) -> None:
    ann = mr_study(tmp_path / "ann", 81)
    bob = mr_study(tmp_path / "bob", 82, lesion=True, StudyInstanceUID=study_uid(81), **BOB)
    answer = sent(node_settings, fitted_sessions, backbone, archive, study_uid(81), [*ann, *bob])
    assert answer.verdicts == ["undetermined"]
    assert len(answer.returned) == 1
    report = answer.report
    assert report.PatientID == PATIENT_ID
    text = "\n".join(comments_of(report))
    assert "0 of 6 frames analysed" in text
    assert "images of 2 patients under one Study Instance UID" in text
    assert f"Not analysed (3), {OTHER_PATIENT}." in text
    everything = str(report)
    assert all(dcmread(path).SOPInstanceUID in everything for path in ann)
    for path in bob:
        assert dcmread(path).SOPInstanceUID not in everything
        assert dcmread(path).SeriesInstanceUID not in everything


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PatientID": "PID-NEW"}, "the Patient ID differs"),
        ({"PatientName": "Zanzibar^Quillon^Jr"}, "the spelling of the Patient's Name differs"),
        (
            {"PatientID": "PID-NEW", "IssuerOfPatientID": "SOUTH"},
            "the Patient ID differs",
        ),
    ],
)
@pytest.mark.usefixtures("lenient")
def test_an_id_or_a_name_that_changes_alone_is_said_and_the_study_is_read(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
    changes: dict[str, Any],
    words: str,
) -> None:
    one = mr_study(tmp_path / "one", 83)
    two = mr_study(tmp_path / "two", 84, StudyInstanceUID=study_uid(83), **changes)
    answer = sent(node_settings, fitted_sessions, backbone, archive, study_uid(83), [*one, *two])
    assert answer.verdicts == ["normal"]
    assert words in "\n".join(comments_of(answer.report))
    assert not answer.skipped
