import sqlite3
import sys

import pytest

from mediclip_dicom.engine import check_sqlite
from mediclip_dicom.errors import DatabaseError

FILE = "sqlite:////srv/workflows.sqlite"


def set_versions(
    monkeypatch: pytest.MonkeyPatch, *, python: tuple[int, int], sqlite: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(sys, "version_info", (*python, 1, "final", 0))
    monkeypatch.setattr(sqlite3, "sqlite_version_info", sqlite)
    monkeypatch.setattr(sqlite3, "sqlite_version", ".".join(map(str, sqlite)))


def test_an_old_sqlite_is_refused_from_python_3_12_on_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_versions(monkeypatch, python=(3, 12), sqlite=(3, 40, 1))
    with pytest.raises(DatabaseError, match=r"Python 3\.12 .* 3\.42 or newer.* 3\.40\.1; use"):
        check_sqlite(FILE)


@pytest.mark.parametrize(
    ("python", "sqlite", "url"),
    [
        ((3, 11), (3, 40, 1), FILE),
        ((3, 12), (3, 42, 0), FILE),
        ((3, 13), (3, 46, 1), FILE),
        ((3, 12), (3, 40, 1), "postgresql+psycopg://db/workflows"),
    ],
)
def test_everything_else_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    python: tuple[int, int],
    sqlite: tuple[int, int, int],
    url: str,
) -> None:
    set_versions(monkeypatch, python=python, sqlite=sqlite)
    check_sqlite(url)
