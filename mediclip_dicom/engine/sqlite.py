"""Version of SQLite that the durable engine needs."""

import sqlite3
import sys

from sqlalchemy import make_url

from mediclip_dicom.errors import DatabaseError

NEEDED = (3, 42)
"""From Python 3.12 on, DBOS has SQLite tell times that older ones leave empty."""


def check_sqlite(url: str) -> None:
    """Refuse a workflow database in a SQLite that the engine can't work with.

    Raises:
        DatabaseError: This Python's SQLite is too old; the message says what to do.
    """
    if make_url(url).get_backend_name() != "sqlite" or sys.version_info < (3, 12):
        return
    if sqlite3.sqlite_version_info < NEEDED:
        python = ".".join(map(str, sys.version_info[:2]))
        raise DatabaseError(
            f"with Python {python} the workflow database needs SQLite "
            f"{'.'.join(map(str, NEEDED))} or newer, and this Python has "
            f"{sqlite3.sqlite_version}; use Python 3.11, or a Python with a newer SQLite, or "
            f"PostgreSQL by [database] workflow_url"
        )
