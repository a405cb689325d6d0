"""Header facts are parsed once, when a study is gathered, and kept as rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import RevisionInstance, RunState, StudyRevision
from mediclip_dicom.imaging import header, read_header
from mediclip_dicom.node import Node
from mediclip_dicom.results import node_device
from mediclip_dicom.settings import Settings
from mediclip_dicom.studies.images import revision_images
from tests.conftest import wait_until
from tests.factories.nodes import is_finished, runs_of, send
from tests.factories.studies import PATIENT_ID, PATIENT_NAME, mr_study, study_uid


def test_a_study_is_answered_with_each_header_parsed_once(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[Path] = []
    read_attributes = header.read_attributes

    def noted(path: Path) -> tuple[Dataset, bool]:
        parsed.append(path)
        return read_attributes(path)

    monkeypatch.setattr(header, "read_attributes", noted)
    with Node(node_settings, backbone=backbone) as node:
        send(node, mr_study(tmp_path, 41))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(41)), "the answer")
    assert len(parsed) == 3
    assert len(set(parsed)) == 3
    with fitted_sessions() as session:
        (run,) = runs_of(session, study_uid(41))
        assert run.state is RunState.DONE
        for row in session.scalars(select(RevisionInstance)):
            assert row.header is not None
            assert row.not_an_image is None
            assert PATIENT_NAME not in row.header
            assert PATIENT_ID not in row.header


def test_header_facts_come_back_from_their_rows_as_they_were_parsed(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
) -> None:
    paths = mr_study(tmp_path, 42)
    with Node(node_settings, backbone=backbone) as node:
        send(node, paths)
        wait_until(lambda: is_finished(fitted_sessions, study_uid(42)), "the answer")
    wanted = {h.sop_instance_uid: h for h in map(read_header, paths)}
    device_uid = node_device(node_settings).uid
    root = node_settings.storage.spool.absolute()
    with fitted_sessions.begin() as session:
        (revision,) = session.scalars(select(StudyRevision))
        images, others = revision_images(revision, root, own_device_uid=device_uid)
        assert {image.header.sop_instance_uid: image.header for image in images} == wanted
        assert others == {}
        session.execute(update(RevisionInstance).values(header=None))  # as in a release before 0.2
        session.expire_all()
        again, _ = revision_images(revision, root, own_device_uid=device_uid)
        assert again == images
