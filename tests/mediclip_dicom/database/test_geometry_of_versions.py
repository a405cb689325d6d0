"""Migration 0003: geometry and training of the backbone come from the stored detector."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, select

from mediclip_dicom.database import Base, TaskVersion, open_database
from tests.factories.revisions import fill, migrate
from tests.factories.saved_detectors import saved_detector


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_versions_of_earlier_releases_get_their_geometry_even_where_weights_are_damaged(
    revision: str, tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'node.sqlite'}")
    migrate(engine, revision)
    fill(engine, revision)
    with engine.begin() as connection:
        table = Base.metadata.tables["task_version"]
        stretched = saved_detector("official")
        connection.execute(table.update().where(table.c.id == 2).values(weights=stretched))
        connection.execute(table.update().where(table.c.id == 4).values(preset="paper"))
        connection.execute(
            table.update().where(table.c.id == 3).values(backbone="ViT-L-14 (untrained)")
        )
    engine.dispose()
    with open_database(f"sqlite:///{tmp_path / 'node.sqlite'}")() as session:
        rows = session.execute(
            select(
                TaskVersion.id,
                TaskVersion.preset,
                TaskVersion.geometry,
                TaskVersion.backbone_trained,
            ).order_by(TaskVersion.id)
        ).all()
    assert [tuple(row) for row in rows] == [
        (1, "official", "stretch", False),
        (2, "default", "stretch", False),  # as the detector says, whatever the other columns
        (3, "default", "pad", False),  # cut in the middle
        (4, "paper", "stretch", True),  # empty
    ]
