"""The node in this process: real associations in, real associations out, a real database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import StoreCategory, find, store
from listener.errors import NoPresentationContextError
from mediclip_dicom.database import (
    DeliveryState,
    RunState,
    open_database,
)
from mediclip_dicom.engine import workflows as engine
from mediclip_dicom.node import Node
from mediclip_dicom.settings import PeerSettings
from mediclip_dicom.studies import Intake
from tests.conftest import wait_until
from tests.factories import sources
from tests.factories.nodes import (
    COMPREHENSIVE_3D_SR,
    Destination,
    is_finished,
    peer_of,
    runs_of,
    send,
)
from tests.factories.studies import (
    BIRTH_DATE,
    PATIENT_ID,
    PATIENT_NAME,
    mr_study,
    study_uid,
)
from tests.factories.tasks import FittedTask, settings_in, with_task


@pytest.fixture(autouse=True, scope="module")
def _quick_queues() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "POLLING_INTERVAL_S", 0.1)
        yield


@dataclass(frozen=True)
class Site:
    """A running node, its destination and its database."""

    node: Node
    archive: Destination
    sessions: sessionmaker[Session]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, fitted_task: FittedTask, backbone: Backbone
) -> Iterator[Site]:
    """One node for all tests that send it studies of their own."""
    settings = with_task(settings_in(tmp_path_factory.mktemp("site")), fitted_task)
    ward = PeerSettings(name="ward", ae_title="WARD", may=("find",))
    settings = settings.model_copy(update={"peers": (*settings.peers, ward)})
    archive = Destination()
    try:
        with Node(archive.added_to(settings), backbone=backbone) as node:
            yield Site(node, archive, open_database(settings.database_url))
    finally:
        archive.stop()


@contextmanager
def noticing_gatherings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The studies whose gathering came to its end, to know when nothing more will happen."""
    ended: list[str] = []
    route = Intake.route

    def noticed(self: Intake, revision_id: int) -> str:
        run_id = route(self, revision_id)
        ended.append(run_id)
        return run_id

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "route", noticed)
        yield ended


@dataclass(frozen=True)
class Answered:
    """Studies that the site has answered, each for one test: images sent, images held back."""

    again: list[Path]
    early: list[Path]
    late: Path
    flagged: list[Path]


@pytest.fixture(scope="module")
def answered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("answered")
    *early, late = mr_study(folder, 23)
    studies = Answered(mr_study(folder, 22), early, late, mr_study(folder, 24, lesion=True))
    send(site.node, [*studies.again, *studies.early, *studies.flagged])
    for number in (22, 23, 24):
        wait_until(lambda n=number: is_finished(site.sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
    return studies


def test_studies_come_back_with_a_report_and_a_segmentation_where_they_are_flagged(
    site: Site,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    normal, abnormal = mr_study(tmp_path, 20), mr_study(tmp_path, 21, lesion=True)
    send(site.node, [*normal, *abnormal])
    for number in (20, 21):
        wait_until(lambda n=number: is_finished(site.sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
    with site.sessions() as session:
        for number in (20, 21):
            (run,) = runs_of(session, study_uid(number))
            (verdict,) = run.verdicts
            assert run.state is RunState.DONE
            assert len([row for row in run.image_scores if row.score is not None]) == 3
            assert verdict.score is not None
            assert verdict.operating_point is not None
            flagged = verdict.verdict == "abnormal"
            assert verdict.score is not None
            assert verdict.operating_point is not None
            assert flagged == (verdict.score > verdict.operating_point)
            assert sorted(r.kind for r in run.results) == (["SEG", "SR"] if flagged else ["SR"])
            deliveries = [delivery for result in run.results for delivery in result.deliveries]
            assert {(d.state, d.attempts) for d in deliveries} == {(DeliveryState.DELIVERED, 1)}
            kept = {r.sop_instance_uid for r in run.results}
            returned = site.archive.of_study(study_uid(number))
            assert {str(dataset.SOPInstanceUID) for dataset in returned} == kept
            assert {str(dataset.PatientID) for dataset in returned} == {PATIENT_ID}
        (run,) = runs_of(session, study_uid(21))
        assert run.verdicts[0].verdict == "abnormal"
    log = capfd.readouterr()
    assert "study.read" in log.out + log.err
    for secret in (PATIENT_NAME, PATIENT_ID, BIRTH_DATE):
        assert secret not in log.out + log.err


def test_a_peer_that_may_finds_the_results_and_where_they_went(
    site: Site, answered: Answered
) -> None:
    keys = {"StudyInstanceUID": study_uid(24)}
    ward = replace(peer_of(site.node), calling_ae_title="WARD")
    (study,) = find(ward, "STUDY", {"PatientID": PATIENT_ID, **keys}, return_keys=["PatientName"])
    assert str(study.PatientName) == PATIENT_NAME
    series = find(ward, "SERIES", keys)
    assert sorted((str(s.Modality), str(s.RetrieveAETitle)) for s in series) == [
        ("SEG", "ARCHIVE"),
        ("SR", "ARCHIVE"),
    ]
    (report,) = [s for s in series if s.Modality == "SR"]
    keys["SeriesInstanceUID"] = str(report.SeriesInstanceUID)
    (image,) = find(ward, "IMAGE", keys)
    assert image.SOPClassUID == COMPREHENSIVE_3D_SR
    assert find(ward, "STUDY", {"StudyInstanceUID": "1.2.3"}) == ()
    with pytest.raises(NoPresentationContextError):
        find(peer_of(site.node), "STUDY", {})


def test_a_study_that_no_task_reads_is_written_down_and_is_no_error(
    site: Site, tmp_path: Path
) -> None:
    send(site.node, [sources.computed_radiograph(tmp_path)])
    wait_until(lambda: is_finished(site.sessions, sources.STUDY_UID), "the study")
    with site.sessions() as session:
        (run,) = runs_of(session, sources.STUDY_UID)
        assert run.state is RunState.NO_TASK
        assert run.reason == "no task reads its images (CR)"
        assert [(row.score, row.skipped) for row in run.image_scores] == [(None, "no task")]
    assert site.archive.of_study(sources.STUDY_UID) == []


def test_the_same_study_twice_is_read_once(
    site: Site, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = len(site.archive.of_study(study_uid(22)))
    assert results >= 1
    with noticing_gatherings(monkeypatch) as gathered:
        send(site.node, answered.again)
        wait_until(lambda: len(gathered) >= 1, "the second gathering")
    with site.sessions() as session:
        (run,) = runs_of(session, study_uid(22))
        assert gathered == [run.id]
        assert run.revision.number == 1
        assert run.state is RunState.DONE
    assert len(site.archive.of_study(study_uid(22))) == results


def test_a_slice_that_comes_late_makes_a_second_revision(site: Site, answered: Answered) -> None:
    send(site.node, [answered.late])
    wait_until(lambda: is_finished(site.sessions, study_uid(23), runs=2), "the second answer")
    with site.sessions() as session:
        first, second = runs_of(session, study_uid(23))
        assert (first.revision.number, second.revision.number) == (1, 2)
        assert (len(first.image_scores), len(second.image_scores)) == (2, 3)
    reports = [d for d in site.archive.of_study(study_uid(23)) if d.Modality == "SR"]
    assert len({report.SOPInstanceUID for report in reports}) == 2
    named = [
        (str(study.StudyInstanceUID), str(instance.ReferencedSOPInstanceUID))
        for report in reports
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert named == [(study_uid(23), str(reports[0].SOPInstanceUID))]


def test_our_own_results_that_come_back_to_us_are_not_read_again(
    site: Site, answered: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PACS that forwards whatever it stores must not make the two answer each other forever."""
    answer = site.archive.save(study_uid(24), tmp_path)
    returned = site.archive.of_study(study_uid(24))
    assert sorted(str(dataset.Modality) for dataset in returned) == ["SEG", "SR"]
    with noticing_gatherings(monkeypatch) as gathered:
        outcomes = store(peer_of(site.node), [*answered.flagged, *answer])
        wait_until(lambda: len(gathered) >= 1, "the second gathering")
    assert [outcome.category for outcome in outcomes] == [
        *[StoreCategory.SUCCESS] * len(answered.flagged),
        *[StoreCategory.REFUSED] * len(answer),
    ]
    with site.sessions() as session:
        (run,) = runs_of(session, study_uid(24))
        assert gathered == [run.id]
        assert run.revision.number == 1
    assert len(site.archive.of_study(study_uid(24))) == len(answer)
