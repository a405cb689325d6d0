"""Queries for the command line and the console: frozen rows, newest first, by page."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ImageScore,
    ResultFile,
    RevisionInstance,
    Run,
    RunState,
    Study,
    StudyRevision,
    TaskVerdict,
)
from mediclip_dicom.errors import StudyNotFoundError
from mediclip_dicom.studies import (
    get_study,
    list_studies,
    newest_reading,
    open_deliveries,
    waiting_runs,
)
from tests.factories.rows import NOW, task_version


def study_uid(number: int) -> str:
    return f"1.2.{number}"


@pytest.fixture
def filled(sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    """Three studies: gathered; read and half delivered; read, and read again by the same version.

    The second reading of the third study is reused from the first.
    """
    with sessions.begin() as session:
        version = task_version(session)
        for number in (1, 2, 3):
            study = Study(study_instance_uid=study_uid(number), first_seen_at=NOW)
            revision = StudyRevision(
                study=study,
                number=1,
                content_digest=f"{number:064x}",
                set_aside=number - 1,
                created_at=NOW + timedelta(minutes=number),
                instances=[
                    RevisionInstance(
                        sop_instance_uid=f"1.2.{number}.{n}",
                        series_instance_uid=f"1.2.{number}.9",
                        digest="0" * 64,
                        path=f"{number}/{n}.dcm",
                    )
                    for n in range(number)
                ],
            )
            session.add(revision)
        session.flush()
        runs = [("b" * 64, 2, 1), ("c" * 64, 3, 1), ("d" * 64, 3, 2)]
        for run_id, number, minutes in runs:
            session.add(
                Run(
                    id=run_id,
                    revision_id=number,
                    state=RunState.DELIVERING if number == 2 else RunState.WRITING,
                    created_at=NOW + timedelta(minutes=minutes),
                )
            )
            session.flush()
            session.add(
                TaskVerdict(
                    run_id=run_id,
                    task_version_id=version.id,
                    verdict="abnormal",
                    score=0.9,
                    p_value=0.2,
                    operating_point=0.5,
                    read_in_run_id="c" * 64 if run_id.startswith("d") else None,
                )
            )
        scores = [(0, 0.9, None), (1, None, "cannot be decoded"), (2, None, "cannot be decoded")]
        for n, score, skipped in scores:
            session.add(
                ImageScore(
                    run_id="b" * 64,
                    sop_instance_uid=f"1.2.2.{n}",
                    frame=1,
                    task_version_id=version.id,
                    score=score,
                    skipped=skipped,
                )
            )
        for run_id, kind in (("b" * 64, "SR"), ("b" * 64, "SEG"), ("c" * 64, "SR")):
            uid = f"1.3.{run_id[0]}.{kind}"
            session.add(
                ResultFile(
                    sop_instance_uid=uid,
                    run_id=run_id,
                    task_version_id=version.id,
                    kind=kind,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
                    series_instance_uid="1.3.9",
                    path=f"{run_id}/{kind}.dcm",
                    digest="0" * 64,
                )
            )
        session.flush()
        for kind, state in (("SR", DeliveryState.DELIVERED), ("SEG", DeliveryState.PENDING)):
            session.add(
                Delivery(
                    sop_instance_uid=f"1.3.b.{kind}",
                    destination="pacs",
                    state=state,
                    attempts=2,
                    comment="out of resources" if kind == "SEG" else None,
                    updated_at=NOW,
                )
            )
    return sessions


def test_studies_come_by_page_the_newest_first(filled: sessionmaker[Session]) -> None:
    with filled() as session:
        first = list_studies(session, limit=2)
        rest = list_studies(session, limit=2, offset=2)
    assert [row.study_uid for row in first.rows] == [study_uid(3), study_uid(2)]
    assert [row.study_uid for row in rest.rows] == [study_uid(1)]
    assert first.total == rest.total == 3
    assert [row.instances for row in first.rows] == [3, 2]
    assert rest.rows[0].runs == ()
    (run,) = first.rows[1].runs
    assert (run.state, [verdict.verdict for verdict in run.verdicts]) == (
        RunState.DELIVERING,
        ["abnormal"],
    )


def test_a_study_is_shown_with_scores_reasons_results_and_deliveries(
    filled: sessionmaker[Session],
) -> None:
    with filled() as session:
        study = get_study(session, study_uid(2))
    (run,) = study.runs
    assert (run.revision, run.set_aside, run.state) == (1, 1, RunState.DELIVERING)
    assert (run.scored, run.skipped) == (1, (("cannot be decoded", 2),))
    assert {result.kind for result in run.results} == {"SR", "SEG"}
    (pending,) = next(result.deliveries for result in run.results if result.kind == "SEG")
    assert (pending.destination, pending.state, pending.attempts, pending.comment) == (
        "pacs",
        DeliveryState.PENDING,
        2,
        "out of resources",
    )


def test_a_reused_reading_names_the_run_that_holds_it(filled: sessionmaker[Session]) -> None:
    with filled() as session:
        study = get_study(session, study_uid(3))
        found = newest_reading(session, study_uid(3))
    assert [run.verdicts[0].read_in_run_id for run in study.runs] == [None, "c" * 64]
    assert [run_id for run_id, _ in found.sources] == ["c" * 64]
    assert found.objects == (f"{'c' * 64}/SR.dcm",)


def test_an_unread_or_unknown_study_is_an_error_that_says_where_to_look(
    filled: sessionmaker[Session],
) -> None:
    with filled() as session:
        with pytest.raises(StudyNotFoundError, match="see mediclip-dicom study list"):
            get_study(session, "1.2.99")
        with pytest.raises(StudyNotFoundError, match="has read no study"):
            newest_reading(session, study_uid(1))
        with pytest.raises(StudyNotFoundError, match="the task chest has not read"):
            newest_reading(session, study_uid(2), task="chest")


def test_what_waits_comes_oldest_first(filled: sessionmaker[Session]) -> None:
    with filled() as session:
        runs = waiting_runs(session)
        deliveries = open_deliveries(session)
        confirming = open_deliveries(session, confirming=["pacs"])
    assert [run.run_id[0] for run in runs] == ["c", "d"]
    assert [(d.state, d.objects) for d in deliveries] == [(DeliveryState.PENDING, 1)]
    assert {d.state for d in confirming} == {DeliveryState.PENDING, DeliveryState.DELIVERED}


def test_rows_are_frozen(filled: sessionmaker[Session]) -> None:
    with filled() as session:
        row = list_studies(session, limit=1).rows[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.revision = 2  # type: ignore[misc]
