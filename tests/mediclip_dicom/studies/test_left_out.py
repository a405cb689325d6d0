"""What is no part of the examination is left out on purpose, and the study can be normal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import Task, TaskVersion
from mediclip_dicom.imaging import SupportKinds
from mediclip_dicom.settings import Settings
from mediclip_dicom.tasks import list_versions
from tests.factories.answers import comments_of, sent
from tests.factories.modalities import change
from tests.factories.nodes import Destination
from tests.factories.studies import mr_study, study_uid
from tests.factories.tasks import TASK

CORONAL = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]


@pytest.fixture
def archive() -> Iterator[Destination]:
    destination = Destination()
    yield destination
    destination.stop()


def other_images(folder: Path, number: int, **attributes: object) -> list[Path]:
    """One image of a further series of the study."""
    paths = mr_study(
        folder, number + 500, slices=1, StudyInstanceUID=study_uid(number), SeriesNumber=9
    )
    change(paths[0], **attributes)
    return paths


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ImageOrientationPatient": CORONAL}, "an orientation of which"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "derived secondary image"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "Secondary Capture among slices"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"SeriesDescription": "MIP cor"}, "the task excludes series like '*mip*'"),
    ],
)
def test_a_normal_study_with_an_image_of_another_purpose_is_normal(
    tmp_path: Path,
    node_settings: Settings,
    fitted_sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
    attributes: dict[str, object],
    reason: str,
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(normal_scores=[0.999999] * 4))
        session.execute(update(Task).values(excluded_series=["*mip*"]))
    paths = [*mr_study(tmp_path / "study", 91), *other_images(tmp_path / "other", 91, **attributes)]
    answer = sent(node_settings, fitted_sessions, backbone, archive, study_uid(91), paths)
    assert answer.verdicts == ["normal"]
    text = "\n".join(comments_of(answer.report))
    assert "Left out on purpose (1), " in text
    assert reason in text
    assert dcmread(paths[-1]).SOPInstanceUID in text
    assert "Not analysed" not in text


def test_a_version_keeps_the_kinds_of_its_support_set(
    fitted_sessions: sessionmaker[Session],
) -> None:
    with fitted_sessions() as session:
        (version,) = list_versions(session, TASK)
    assert version.info.support_kinds == SupportKinds(
        ("1.2.840.10008.5.1.4.1.1.4",), (("ORIGINAL", "PRIMARY"),), ((0.0, 0.0, 1.0),)
    )
