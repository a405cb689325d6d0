"""What waits is shown, and an administrator can try again or give up; a destination confirms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import CommitmentReport, Peer, send_report
from mediclip_dicom.database import DeliveryState, RunState
from mediclip_dicom.engine import cancel, retry
from mediclip_dicom.errors import DeliveryNotFoundError
from mediclip_dicom.node import Node
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies import open_deliveries, waiting_runs
from tests.conftest import wait_until
from tests.factories.archives import CommittingArchive
from tests.factories.nodes import (
    COMPREHENSIVE_3D_SR,
    SEGMENTATION,
    is_finished,
    runs_of,
    send,
)
from tests.factories.studies import mr_study, study_uid


@pytest.fixture
def archive() -> Iterator[CommittingArchive]:
    made = CommittingArchive()
    yield made
    made.server.shutdown()


def states(sessions: sessionmaker[Session], number: int) -> set[DeliveryState]:
    with sessions() as session:
        (run,) = runs_of(session, study_uid(number))
        return {d.state for result in run.results for d in result.deliveries}


def test_a_refused_result_fails_once_is_shown_and_goes_out_and_is_confirmed_when_retried(
    archive: CommittingArchive,
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    settings = archive.settings(node_settings)
    archive.status = 0xC000
    with Node(settings, backbone=backbone) as node:
        archive.node_port = node.port
        send(node, mr_study(tmp_path, 71))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(71)), "the refusal")
        with fitted_sessions() as session:
            assert waiting_runs(session) == ()
            (refused,) = open_deliveries(session)
            assert refused.state is DeliveryState.FAILED
            assert refused.attempts == 1, "what is refused for good is not tried again"
            (run,) = runs_of(session, study_uid(71))
            assert run.state is RunState.FAILED
        with pytest.raises(DeliveryNotFoundError, match="mediclip-dicom queue"):
            retry(settings, fitted_sessions, run="f00", destination="archive")
        archive.status = 0x0000
        found = retry(settings, fitted_sessions, run=refused.run_id[:10], destination="archive")
        assert found.run_id == refused.run_id
        wait_until(
            lambda: states(fitted_sessions, 71) == {DeliveryState.CONFIRMED}, "the confirmation"
        )
        with fitted_sessions() as session:
            assert open_deliveries(session, confirming=["archive"]) == ()
            (run,) = runs_of(session, study_uid(71))
            assert run.state is RunState.DONE
        (asked,) = archive.asked
        assert {r.sop_class_uid for r in asked.committed} <= {SEGMENTATION, COMPREHENSIVE_3D_SR}


def test_a_delivery_can_be_cancelled_and_what_is_not_committed_is_failed(
    archive: CommittingArchive,
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = archive.settings(node_settings)
    monkeypatch.setattr(
        archive,
        "report",
        lambda asked: send_report(
            Peer("MEDICLIP", "127.0.0.1", archive.node_port, calling_ae_title="ARCHIVE"),
            CommitmentReport(
                asked.transaction_uid, (), tuple((r, 0x0110) for r in asked.committed)
            ),
        ),
    )
    archive.status = 0xA700
    with Node(settings, backbone=backbone) as node:
        archive.node_port = node.port
        send(node, mr_study(tmp_path, 72))

        def waiting() -> bool:
            with fitted_sessions() as session:
                return any(d.attempts for d in open_deliveries(session))

        wait_until(waiting, "the first attempt")
        with fitted_sessions() as session:
            (pending,) = open_deliveries(session)
        assert pending.state is DeliveryState.PENDING, "what is refused for now is tried again"
        cancel(settings, fitted_sessions, run=pending.run_id, destination="archive")
        assert states(fitted_sessions, 72) == {DeliveryState.CANCELLED}
        archive.status = 0x0000
        retry(settings, fitted_sessions, run=pending.run_id, destination="archive")
        wait_until(lambda: states(fitted_sessions, 72) == {DeliveryState.FAILED}, "the report")
        with fitted_sessions() as session:
            (failed,) = open_deliveries(session)
        assert failed.comment == "not committed by the destination (0110H)"
