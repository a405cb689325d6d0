"""What other processes may ask of the running node, through the engine's own tables."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from dbos import DBOSClient
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

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


def complete_now(settings: Settings, study_instance_uid: str) -> None:
    """Gather a study at once, whatever may still come; the node does it when it runs.

    Raises:
        DatabaseError: The workflow database can't be used.
    """
    with _client(settings) as client:
        client.enqueue(
            {
                "queue_name": GATHER_QUEUE,
                "workflow_name": GATHER,
                "app_version": WORKFLOW_VERSION,
            },
            study_instance_uid,
        )


def deliver_again(settings: Settings, run_id: str, destination: str) -> None:
    """Send what is pending of a run to a destination; the node does it when it runs.

    Raises:
        DatabaseError: The workflow database can't be used.
    """
    with _client(settings) as client:
        _cancel(client, run_id, destination)
        client.enqueue(
            {
                "queue_name": delivery_queue(destination),
                "workflow_name": DELIVER,
                "workflow_id": delivery_id(run_id, destination, again=uuid.uuid4().hex[:8]),
                "app_version": WORKFLOW_VERSION,
            },
            run_id,
            destination,
        )


def cancel_delivery(settings: Settings, run_id: str, destination: str) -> None:
    """Stop the attempts to deliver a run to a destination, asleep or running.

    Raises:
        DatabaseError: The workflow database can't be used.
    """
    with _client(settings) as client:
        _cancel(client, run_id, destination)


def _cancel(client: DBOSClient, run_id: str, destination: str) -> None:
    known = client.list_workflows(
        workflow_id_prefix=delivery_id(run_id, destination),
        status=["PENDING", "ENQUEUED", "DELAYED"],
    )
    for workflow in known:
        if is_delivery(workflow.workflow_id, run_id, destination):
            client.cancel_workflow(workflow.workflow_id)


@contextmanager
def _client(settings: Settings) -> Iterator[DBOSClient]:
    url = settings.workflow_database_url
    check_sqlite(url)
    try:
        client = DBOSClient(system_database_url=url, application_name=APPLICATION_NAME)
        try:
            yield client
        finally:
            client.destroy()
    except (SQLAlchemyError, OSError) as error:
        shown = make_url(url).render_as_string(hide_password=True)
        raise DatabaseError(
            f"the workflow database at {shown} can't be used: "
            f"{getattr(error, 'orig', None) or error}; start the node once, or see [database] "
            "workflow_url"
        ) from error
