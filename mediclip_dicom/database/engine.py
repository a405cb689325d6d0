"""Connection to the database, and migration of its tables to the newest layout."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from mediclip_dicom.errors import DatabaseError

MIGRATIONS = Path(__file__).parent / "migrations"
SQLITE_BUSY_TIMEOUT_MS = 30_000

Sessions = sessionmaker[Session]
"""Maker of sessions, as `open_database` returns it."""


def open_database(url: str) -> Sessions:
    """Connect, migrate to the newest layout, and return the maker of sessions.

    Args:
        url: An SQLAlchemy URL of SQLite or PostgreSQL.

    Raises:
        DatabaseError: The database can't be reached, or a newer version of the node made it.
    """
    engine = connect(url)
    try:
        _upgrade(engine)
    except CommandError as error:
        raise DatabaseError(
            f"the database at {_shown(url)} has a layout that this version does not know "
            f"({error}); install the version that made it, or a newer one"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseError(f"the database at {_shown(url)} can't be used: {error}") from error
    return sessionmaker(engine, expire_on_commit=False)


def connect(url: str) -> Engine:
    """Make an engine; SQLite gets a write-ahead log, foreign keys and a busy timeout of 30 s."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        try:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"no folder for {_shown(url)}: {error}") from error
    engine = create_engine(parsed, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def is_current(engine: Engine) -> bool:
    """Return whether the tables have the newest layout.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database can't be reached.
    """
    return _revision(engine) == ScriptDirectory(str(MIGRATIONS)).get_current_head()


def is_known(engine: Engine) -> bool:
    """Return whether this version can migrate the tables; True where there are none yet.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database can't be reached.
    """
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    return _revision(engine) in {None, *known}


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _prepare_sqlite(connection: object, _: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _upgrade(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection, _tables_may_be_rebuilt(connection), connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _tables_may_be_rebuilt(connection: Connection) -> Iterator[None]:
    """Suspend SQLite's foreign keys: a changed table is dropped and made anew under its name.

    Raises:
        DatabaseError: a row refers to one that is gone; nothing can be relied on any more.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    # Outside a transaction, where alone SQLite takes notice of it.
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    connection.commit()
    try:
        yield
        if orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
            raise DatabaseError(
                f"{len(orphans)} rows of the database refer to rows that are gone "
                f"(the first in table {orphans[0][0]}); restore it from a backup"
            )
    finally:
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        connection.commit()


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
