"""Migrations: a database of any earlier revision is opened without the loss of a row or a value."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import class_mapper, configure_mappers, undefer

from ai_core import read_detector_info
from ai_core.errors import CorruptDetectorError
from mediclip_dicom.database import (
    Base,
    RevisionInstance,
    TaskVersion,
    connect,
    is_current,
    open_database,
)
from mediclip_dicom.imaging import header_from_json
from tests.factories.revisions import fill, migrate, revisions, rows_at
from tests.factories.saved_detectors import saved_detector

Content = dict[str, dict[tuple[Any, ...], dict[str, Any]]]
"""The rows of each table by primary key, each a dictionary of the values as SQLite holds them."""


def engine_of(file: Path) -> Engine:
    return create_engine(f"sqlite:///{file}")


def database_at(revision: str, folder: Path) -> Path:
    """A filled database as the version of the node left it whose newest revision this was."""
    file = folder / "node.sqlite"
    engine = engine_of(file)
    migrate(engine, revision)
    fill(engine, revision)
    engine.dispose()
    return file


def content_of(file: Path) -> Content:
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        return {
            table: {
                tuple(row[column] for column in keys): dict(row)
                for row in connection.execute(f'SELECT * FROM "{table}"')
            }
            for table, keys in _primary_keys(connection).items()
        }


def columns_of(file: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Name, type, nullability, default and place in the primary key of each column."""
    with closing(sqlite3.connect(file)) as connection:
        return {
            table: {row[1:] for row in connection.execute(f'PRAGMA table_info("{table}")')}
            for table in _primary_keys(connection)
        }


def broken_links(file: Path) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA foreign_key_check").fetchall()


def _primary_keys(connection: sqlite3.Connection) -> dict[str, list[str]]:
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'alembic_version'"
    ).fetchall()
    return {
        table: [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")') if row[5] > 0]
        for (table,) in tables
    }


def assert_nothing_is_lost(before: Content, after: Content) -> None:
    for table, rows in before.items():
        assert after[table].keys() == rows.keys(), table
        for key, row in rows.items():
            kept = {name: value for name, value in row.items() if name in after[table][key]}
            now = {name: after[table][key][name] for name in kept}
            assert now == kept, (table, key)


def assert_all_rows_can_be_read(url: str, content: Content) -> None:
    configure_mappers()
    with open_database(url)() as session:
        for mapper in Base.registry.mappers:
            statement = select(mapper.class_)
            for attribute in mapper.column_attrs:
                if attribute.deferred:
                    statement = statement.options(undefer(getattr(mapper.class_, attribute.key)))
            rows = session.scalars(statement).all()
            assert len(rows) == len(content[mapper.local_table.name]), mapper  # type: ignore[attr-defined]
            for row in rows:
                for relation in class_mapper(type(row)).relationships:
                    getattr(row, relation.key)


@pytest.mark.parametrize("revision", revisions())
def test_every_table_of_a_revision_is_filled(revision: str, tmp_path: Path) -> None:
    content = content_of(database_at(revision, tmp_path))
    assert {table for table, rows in content.items() if not rows} == set()
    assert rows_at(revision).keys() <= content.keys()


@pytest.mark.parametrize("revision", revisions())
def test_a_database_of_any_revision_is_opened_with_all_that_it_held(
    revision: str, tmp_path: Path
) -> None:
    file = database_at(revision, tmp_path)
    url = f"sqlite:///{file}"
    before = content_of(file)
    assert broken_links(file) == []

    open_database(url).kw["bind"].dispose()

    after = content_of(file)
    assert is_current(connect(url))
    assert_nothing_is_lost(before, after)
    assert broken_links(file) == []
    with connect(url).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    assert_all_rows_can_be_read(url, after)


@pytest.mark.parametrize("revision", revisions())
def test_a_downgrade_gives_the_revision_back_with_its_rows(revision: str, tmp_path: Path) -> None:
    file = database_at(revision, tmp_path)
    before, columns = content_of(file), columns_of(file)
    open_database(f"sqlite:///{file}").kw["bind"].dispose()

    migrate(engine_of(file), revision, down=True)

    assert columns_of(file) == columns
    assert content_of(file) == before
    assert broken_links(file) == []


def test_a_detector_that_an_old_database_holds_is_still_understood(tmp_path: Path) -> None:
    file = database_at(revisions()[0], tmp_path)
    with open_database(f"sqlite:///{file}")() as session:
        rows = session.scalars(select(TaskVersion).order_by(TaskVersion.id)).all()
        official, default, damaged, empty = (row.weights for row in rows)
    assert read_detector_info(official).preset.name == "official"
    assert read_detector_info(default) == read_detector_info(saved_detector("default"))
    for weights in (damaged, empty):
        with pytest.raises(CorruptDetectorError):
            read_detector_info(weights)


@pytest.mark.parametrize("revision", revisions())
def test_a_version_knows_its_geometry_and_whether_its_backbone_was_trained(
    revision: str, tmp_path: Path
) -> None:
    """Before revision 0003 the saved detector alone knew; of a damaged one its preset tells."""
    file = database_at(revision, tmp_path)
    with open_database(f"sqlite:///{file}")() as session:
        rows = session.scalars(select(TaskVersion).order_by(TaskVersion.id)).all()
        known = [(row.geometry, row.backbone_trained) for row in rows]
    assert known == [("stretch", False), ("pad", True), ("pad", True), ("pad", True)]


def test_header_facts_of_an_earlier_release_are_still_understood(tmp_path: Path) -> None:
    file = database_at(revisions()[-1], tmp_path)
    with open_database(f"sqlite:///{file}")() as session:
        stored = session.scalars(
            select(RevisionInstance.header).where(RevisionInstance.header.is_not(None))
        ).all()
    assert {header_from_json(text).modality for text in stored if text} == {"MR"}
