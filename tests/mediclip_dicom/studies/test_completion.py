"""When a study counts as complete: quiet for long enough, sent whole, or told so."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from listener import AssociationEnd, Peer, StudyActivity, store
from mediclip_dicom.engine import complete_now
from mediclip_dicom.node import Node
from mediclip_dicom.settings import PeerSettings, Settings
from mediclip_dicom.studies import Completion, open_spool
from tests.conftest import wait_until
from tests.factories.nodes import is_finished, runs_of
from tests.factories.studies import mr_study, study_uid
from tests.listener.conftest import received

PEERS = (
    PeerSettings(name="ct1", ae_title="CT1", quiet_period_s=5),
    PeerSettings(name="ct2", ae_title="CT1", host="192.0.2.1", quiet_period_s=60),
    PeerSettings(name="mr", ae_title="MR", study_per_association=True),
)


def with_gathering(settings: Settings, **values: object) -> Settings:
    gathering = settings.gathering.model_copy(update=values)
    return settings.model_copy(update={"gathering": gathering, "peers": PEERS})


def activity(title: str) -> StudyActivity:
    return StudyActivity("1.2.3", title, 1, 0, datetime.now(UTC))


def ended(peer: str, *, released: bool = True) -> AssociationEnd:
    return AssociationEnd("a1", peer, peer.upper(), frozenset({"1.2.3"}), released)


def test_a_peer_has_its_own_quiet_period_and_others_the_usual(settings: Settings) -> None:
    completion = Completion(with_gathering(settings, quiet_period_s=30.0))
    assert completion.wait_after_s(activity("CT1")) == 60
    assert completion.wait_after_s(activity("MR")) == 30
    assert completion.wait_after_s(activity("STRANGER")) == 30
    assert completion.shortest_s == 30


def test_the_end_of_an_association_completes_only_where_it_holds_whole_studies(
    settings: Settings,
) -> None:
    completion = Completion(with_gathering(settings, after_association_s=2.0))
    assert completion.wait_after_end_s(ended("mr")) == 2.0
    assert completion.wait_after_end_s(ended("mr", released=False)) is None
    assert completion.wait_after_end_s(ended("ct1")) is None


def test_a_study_is_read_at_the_end_of_its_association_or_by_command_without_waiting(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    settings = with_gathering(node_settings, quiet_period_s=900.0, after_association_s=0.2)
    with Node(settings, backbone=backbone) as node:
        for title, number in (("MR", 61), ("CT1", 62)):
            peer = Peer("MEDICLIP", "127.0.0.1", node.port, calling_ae_title=title)
            store(peer, mr_study(tmp_path, number))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(61)), "the sent study")
        with fitted_sessions() as session:
            assert runs_of(session, study_uid(62)) == []
        complete_now(settings, study_uid(62))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(62)), "the completed study")


@pytest.mark.parametrize(("policy", "kept"), [("replace", "second"), ("keep-first", "first")])
def test_other_content_under_a_known_uid_is_taken_or_set_aside_by_policy_and_recorded(
    policy: str,
    kept: str,
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    settings = with_gathering(node_settings, same_uid=policy)
    first = mr_study(tmp_path, 63)
    changed = tmp_path / "changed.dcm"
    dataset = dcmread(first[0])
    dataset.SeriesDescription = "second"
    dataset.save_as(changed)
    with Node(settings, backbone=backbone) as node:
        peer = Peer("MEDICLIP", "127.0.0.1", node.port, calling_ae_title="CT1")
        outcomes = store(peer, [*first, changed])
        assert {outcome.status for outcome in outcomes} == {0}
        complete_now(settings, study_uid(63))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(63)), "the study")
    with fitted_sessions() as session:
        (run,) = runs_of(session, study_uid(63))
        assert run.revision.set_aside == 1
        (path,) = (
            settings.storage.spool / instance.path
            for instance in run.revision.instances
            if instance.sop_instance_uid == dataset.SOPInstanceUID
        )
        assert (dcmread(path).get("SeriesDescription") == "second") == (kept == "second")


def test_a_study_that_was_quiet_while_the_node_was_down_is_gathered_at_its_start(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    """Its last instance came an hour ago, and its peer's quiet period is a quarter of one."""
    paths = mr_study(tmp_path, 64)
    with open_spool(node_settings) as spool:
        for path in paths:
            item = received(path)
            receipt = spool.store(item.data, item.transfer)
            an_hour_ago = receipt.received_at.timestamp() - 3600
            os.utime(receipt.path, (an_hour_ago, an_hour_ago))
    with Node(node_settings, backbone=backbone):
        wait_until(lambda: is_finished(fitted_sessions, study_uid(64)), "the study")
