"""`mediclip-dicom study`: what the node has received, and what it said."""

from datetime import UTC, datetime
from pathlib import Path

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
from tests.factories.command_line import Cli
from tests.factories.studies import study_uid
from tests.factories.tasks import TASK

NOW = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def received(number: int) -> StudyRevision:
    """A study of one instance that has been gathered."""
    return StudyRevision(
        study=Study(study_instance_uid=study_uid(number), first_seen_at=NOW),
        number=1,
        content_digest=f"{number:064x}",
        created_at=NOW,
        instances=[
            RevisionInstance(
                sop_instance_uid=f"{study_uid(number)}.1.1",
                series_instance_uid=f"{study_uid(number)}.1",
                digest="0" * 64,
                path="studies/x.dcm",
            )
        ],
    )


def run_of(number: int, state: RunState, *, reason: str | None = None) -> Run:
    revision = received(number)
    return Run(id=f"{number:064x}", revision=revision, state=state, reason=reason, created_at=NOW)


@pytest.fixture
def filled(fitted_sessions: sessionmaker[Session]) -> None:
    """A flagged study whose report was refused, one that no task reads, one that waits."""
    with fitted_sessions.begin() as session:
        flagged = run_of(1, RunState.FAILED, reason="a destination did not take [every] result")
        flagged.verdicts = [
            TaskVerdict(
                task_version_id=1,
                verdict="abnormal",
                score=0.91234,
                p_value=0.2,
                operating_point=0.5,
            )
        ]
        flagged.image_scores = [
            ImageScore(sop_instance_uid="1.2.1", frame=1, task_version_id=1, score=0.91234),
            ImageScore(sop_instance_uid="1.2.2", frame=1, task_version_id=1, skipped="[/broken]"),
        ]
        flagged.results = [
            ResultFile(
                sop_instance_uid="2.25.77",
                task_version_id=1,
                kind="SR",
                sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
                series_instance_uid="2.25.78",
                path="x/y.dcm",
                digest="0" * 64,
                deliveries=[
                    Delivery(
                        destination="archive",
                        state=DeliveryState.FAILED,
                        attempts=7,
                        comment="refused [/by the archive]",
                        updated_at=NOW,
                    )
                ],
            )
        ]
        session.add(flagged)
        session.add(run_of(2, RunState.NO_TASK, reason="no task reads its images (CR)"))
        session.add(received(3))


def test_a_node_that_has_received_nothing_says_so(cli: Cli, config: Path) -> None:
    said = cli("--config", config, "study", "list")
    assert said.code == 0
    assert "no study has been received yet" in said.text


@pytest.mark.usefixtures("filled")
def test_studies_are_listed_newest_first_with_state_and_verdict(
    cli: Cli, task_config: Path
) -> None:
    said = cli("--config", task_config, "study", "list")
    assert said.code == 0
    lines = [line.split() for line in said.out.splitlines() if study_uid(0)[:-1] in line]
    uids = [next(word for word in line if word.startswith("1.2.826")) for line in lines]
    assert uids == [study_uid(3), study_uid(2), study_uid(1)]
    assert "gathered" in lines[0]
    assert "task" in lines[1]
    assert {"failed", TASK, "abnormal"} <= set(lines[2])


@pytest.mark.usefixtures("filled")
def test_a_limit_says_how_many_are_not_shown(cli: Cli, task_config: Path) -> None:
    said = cli("--config", task_config, "study", "list", "--limit", "1")
    assert study_uid(3) in said.text
    assert study_uid(1) not in said.text
    assert "2 older studies are not shown; see --limit" in said.text


@pytest.mark.usefixtures("filled")
def test_a_study_is_shown_with_verdict_images_and_deliveries(cli: Cli, task_config: Path) -> None:
    said = cli("--config", task_config, "study", "show", study_uid(1))
    assert said.code == 0
    assert "revision 1" in said.text
    assert "failed (a destination did not take [every] result)" in said.text
    for fact in (TASK, "abnormal", "0.9123", "0.5000", "0.2000", "2.25.77", "archive", "7"):
        assert fact in said.text
    assert "1 images scored, 1 not" in said.text
    assert "1 not scored: [/broken]" in said.text
    assert "refused [/by the archive]" in said.text


@pytest.mark.usefixtures("filled")
def test_a_study_that_no_task_reads_says_why(cli: Cli, task_config: Path) -> None:
    said = cli("--config", task_config, "study", "show", study_uid(2))
    assert "no task (no task reads its images (CR))" in said.text


@pytest.mark.usefixtures("filled")
def test_a_study_that_waits_says_so(cli: Cli, task_config: Path) -> None:
    said = cli("--config", task_config, "study", "show", study_uid(3))
    assert said.code == 0
    assert "waits for its turn" in said.text


def test_an_unknown_study_ends_with_1(cli: Cli, config: Path) -> None:
    said = cli("--config", config, "study", "show", "1.2.3")
    assert said.code == 1
    assert "the node has no study 1.2.3" in said.text
