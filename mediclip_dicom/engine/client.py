"""Requests to the worker through the engine's tables, from processes that run no workflow.

A process that launches the engine takes work off its queues, so the listener, the console and the
command line use this client instead: it only writes requests.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from dbos import DBOSClient, DebouncerClient
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from mediclip_dicom.engine.library_log import forward_library_log
from mediclip_dicom.engine.names import (
    APPLICATION_NAME,
    DELIVER,
    GATHER,
    GATHER_QUEUE,
    WORKFLOW_VERSION,
    delivery_id,
    delivery_queue,
    is_delivery,
)
from mediclip_dicom.engine.sqlite import check_sqlite
from mediclip_dicom.errors import DatabaseError
from mediclip_dicom.settings import Settings

_OPEN_STATES = ["PENDING", "ENQUEUED", "DELAYED"]


class EngineClient:
    """Requests to the worker; safe for many threads and many processes.

    Args:
        settings: the configuration.

    Raises:
        DatabaseError: the workflow database can't be used by this Python's SQLite.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.workflow_database_url
        self._quiet_period_s = settings.gathering.quiet_period_s
        check_sqlite(self._url)
        forward_library_log()
        # Nothing waits inside for a database that is away: every caller has its own way to retry.
        self._client = DBOSClient(
            system_database_url=self._url,
            application_name=APPLICATION_NAME,
            lazy=True,
            retry_connection_errors=False,
        )
        self._debouncer = DebouncerClient(
            self._client,
            {
                "queue_name": GATHER_QUEUE,
                "workflow_name": GATHER,
                "app_version": WORKFLOW_VERSION,
            },
            debounce_timeout_sec=settings.gathering.longest_wait_s,
            queue=GATHER_QUEUE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()

    def study_changed(self, study_instance_uid: str, *, quiet_s: float | None = None) -> None:
        """Have a study gathered once it has been quiet for long enough.

        Args:
            study_instance_uid: the study of which an instance has arrived.
            quiet_s: seconds from now without another call; None takes the configuration's.

        Raises:
            DatabaseError: the workflow database can't be used; call again later.
        """
        wait_s = self._quiet_period_s if quiet_s is None else quiet_s
        with self._database_errors():
            self._debouncer.debounce(study_instance_uid, wait_s, study_instance_uid)

    def complete_study(self, study_instance_uid: str) -> None:
        """Have a study gathered at once, whatever may still arrive.

        Raises:
            DatabaseError: the workflow database can't be used.
        """
        with self._database_errors():
            self._client.enqueue(
                {
                    "queue_name": GATHER_QUEUE,
                    "workflow_name": GATHER,
                    "app_version": WORKFLOW_VERSION,
                },
                study_instance_uid,
            )

    def deliver_again(self, run_id: str, destination: str) -> None:
        """Have the pending results of a run sent to a destination, with all attempts again.

        Raises:
            DatabaseError: the workflow database can't be used.
        """
        with self._database_errors():
            self._cancel(run_id, destination)
            self._client.enqueue(
                {
                    "queue_name": delivery_queue(destination),
                    "workflow_name": DELIVER,
                    "workflow_id": delivery_id(run_id, destination, again=uuid.uuid4().hex[:8]),
                    "app_version": WORKFLOW_VERSION,
                },
                run_id,
                destination,
            )

    def cancel_delivery(self, run_id: str, destination: str) -> None:
        """Stop the attempts to deliver a run to a destination, waiting or running.

        Raises:
            DatabaseError: the workflow database can't be used.
        """
        with self._database_errors():
            self._cancel(run_id, destination)

    def _cancel(self, run_id: str, destination: str) -> None:
        known = self._client.list_workflows(
            workflow_id_prefix=delivery_id(run_id, destination), status=_OPEN_STATES
        )
        for workflow in known:
            if is_delivery(workflow.workflow_id, run_id, destination):
                self._client.cancel_workflow(workflow.workflow_id)

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as error:
            shown = make_url(self._url).render_as_string(hide_password=True)
            raise DatabaseError(
                f"the workflow database at {shown} can't be used: "
                f"{getattr(error, 'orig', None) or error}; start the node once, or see [database] "
                "workflow_url"
            ) from error
