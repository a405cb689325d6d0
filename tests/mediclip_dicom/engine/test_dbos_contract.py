"""The inside of dbos that the engine relies on; the bound in pyproject.toml is <3.5.

Where one of these fails after an upgrade, the message names the module of ours to look at.
"""

from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import get_type_hints

import pytest
from dbos import DBOS, DBOSClient, DBOSConfig, DebouncerClient, EnqueueOptions
from dbos._recovery import recover_pending_workflows
from dbos._sys_db import WorkflowStatusString
from sqlalchemy import create_engine
from sqlalchemy import inspect as inspect_database

from mediclip_dicom.engine.client import _OPEN_STATES
from mediclip_dicom.engine.library_log import LIBRARY

TAKEOVER = "engine.workflows takes over dead executors by it; see WorkflowEngine.start"
CLIENT = "engine.client writes requests by it"


def parameters_of(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def test_recovery_takes_a_list_of_executors_and_enqueues_their_workflows_again() -> None:
    assert parameters_of(DBOS._recover_pending_workflows) == ["executor_ids"], TAKEOVER
    assert parameters_of(recover_pending_workflows) == ["dbos", "executor_ids"], TAKEOVER
    source = inspect.getsource(recover_pending_workflows)
    assert "GlobalParams.app_version" in source, (
        "recovery is bound to the application version: engine.names.WORKFLOW_VERSION stays fixed"
    )


def test_a_process_is_named_by_its_configuration() -> None:
    hints = get_type_hints(DBOSConfig)
    for key in ("name", "system_database_url", "application_version", "executor_id", "log_level"):
        assert key in hints, f"engine.workflows._engine_config sets {key}"


def test_the_states_of_a_workflow_have_the_names_that_we_ask_for() -> None:
    known = {state.value for state in WorkflowStatusString}
    assert set(_OPEN_STATES) <= known, "engine.client cancels workflows in these states"
    assert {"SUCCESS", "ERROR", "CANCELLED"} <= known


def test_a_queue_is_registered_after_the_launch() -> None:
    wanted = {"worker_concurrency", "polling_interval_sec", "on_conflict"}
    assert wanted <= set(parameters_of(DBOS.register_queue)), "engine.workflows registers queues"
    assert "workflow_completion_timeout_sec" in parameters_of(DBOS.destroy)
    assert "destroy_registry" in parameters_of(DBOS.destroy)


def test_the_client_waits_for_no_database() -> None:
    wanted = {"system_database_url", "application_name", "lazy", "retry_connection_errors"}
    assert wanted <= set(parameters_of(DBOSClient.__init__)), CLIENT
    wanted = {"client", "workflow_options", "debounce_timeout_sec", "queue"}
    assert wanted <= set(parameters_of(DebouncerClient.__init__)), CLIENT
    assert parameters_of(DebouncerClient.debounce)[:3] == [
        "self", "debounce_key", "debounce_period_sec",
    ], CLIENT  # fmt: skip
    hints = get_type_hints(EnqueueOptions)
    for key in ("queue_name", "workflow_name", "workflow_id", "app_version"):
        assert key in hints, CLIENT


def test_the_library_logs_under_one_name() -> None:
    import dbos._logger

    assert dbos._logger.dbos_logger is logging.getLogger(LIBRARY), (
        "engine.library_log forwards this logger"
    )


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (
            "workflow_status",
            {"workflow_uuid", "name", "status", "executor_id", "application_version"},
        ),
        ("operation_outputs", {"workflow_uuid", "function_name"}),
    ],
)
def test_the_tables_that_tests_look_into(table: str, columns: set[str], tmp_path: Path) -> None:
    """An administrator may look into them as well; nothing of ours does."""
    url = f"sqlite:///{tmp_path / 'workflows.sqlite'}"
    DBOS(config={"name": "contract", "system_database_url": url, "log_level": "ERROR"})
    try:
        DBOS.launch()
    finally:
        DBOS.destroy(destroy_registry=True)
    engine = create_engine(url)
    found = {column["name"] for column in inspect_database(engine).get_columns(table)}
    engine.dispose()
    assert columns <= found
