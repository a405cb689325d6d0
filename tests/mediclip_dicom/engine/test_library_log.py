"""The engine's warnings reach our log; the words of others do not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import structlog
from dbos import DBOSClient
from structlog.testing import capture_logs

from mediclip_dicom.engine.library_log import LIBRARY, forward_library_log

PATIENT = "Zanzibar^Anna"


@pytest.fixture
def library() -> logging.Logger:
    structlog.reset_defaults()
    forward_library_log()
    return logging.getLogger(LIBRARY)


def test_a_poller_that_has_lost_its_database_says_so_in_our_log(
    tmp_path: Path, library: logging.Logger
) -> None:
    """With the library's own retry on, as the worker has it."""
    client = DBOSClient(
        system_database_url=f"sqlite:///{tmp_path / 'none' / 'workflows.sqlite'}", lazy=True
    )
    with capture_logs() as logs:
        library.warning(
            "Database connection failed: (sqlite3.OperationalError) unable to open database file. "
            "Retrying in 0.1s (attempt 1)"
        )
    client.destroy()
    (event,) = logs
    assert event["event"] == "engine.warned"
    assert event["message"] == "Database connection failed"
    assert event["reason"] == "sqlite3.OperationalError"


def test_an_error_is_told_with_its_kind_and_without_its_words(library: logging.Logger) -> None:
    with capture_logs() as logs:
        try:
            raise ValueError(PATIENT)
        except ValueError:
            library.exception(f"Exception encountered in asynchronous workflow: {PATIENT}")
    (event,) = logs
    assert event["event"] == "engine.failed"
    assert event["reason"] == "ValueError"
    assert PATIENT not in str(logs)


def test_the_library_prints_nothing_of_its_own(
    library: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    forward_library_log()
    library.warning(f"stem: {PATIENT}")
    said = capsys.readouterr()
    assert PATIENT not in said.out + said.err
    assert (said.out + said.err).count("engine.warned") == 1
