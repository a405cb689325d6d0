"""The database: migrations give the tables that the code expects, on the databases we promise."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from mediclip_dicom.database import Base, Study, connect, is_current, open_database
from mediclip_dicom.errors import DatabaseError


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'node.sqlite'}"


def test_migrations_give_the_tables_of_the_models(tmp_path: Path) -> None:
    open_database(sqlite_url(tmp_path))
    with connect(sqlite_url(tmp_path)).connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_opening_again_changes_nothing_and_keeps_what_is_there(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with open_database(url).begin() as session:
        session.add(Study(study_instance_uid="1.2.3", first_seen_at=datetime.now(UTC)))
    with open_database(url)() as session:
        assert session.query(Study).one().study_instance_uid == "1.2.3"
    assert is_current(connect(url))


def test_moments_come_back_as_the_same_moment(tmp_path: Path) -> None:
    tokyo = datetime(2026, 11, 23, 9, 30, tzinfo=timezone(timedelta(hours=9)))
    sessions = open_database(sqlite_url(tmp_path))
    with sessions.begin() as session:
        session.add(Study(study_instance_uid="1.2.3", first_seen_at=tokyo))
    with sessions() as session:
        assert session.query(Study).one().first_seen_at == tokyo


def test_a_layout_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    open_database(url)
    with connect(url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="install the version that made it"):
        open_database(url)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.sqlite").write_text("not a database, whatever its name says" * 100)
    with pytest.raises(DatabaseError, match=r"node\.sqlite can't be used"):
        open_database(sqlite_url(tmp_path))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="no folder for"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'node.sqlite'}")
