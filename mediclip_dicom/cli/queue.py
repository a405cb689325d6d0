"""`mediclip-dicom queue`: what waits, for what, and since when."""

from mediclip_dicom.cli.display import console, local_time, make_table, plain
from mediclip_dicom.database import DeliveryState, open_database
from mediclip_dicom.delivery.queue import open_deliveries, waiting_runs
from mediclip_dicom.settings import Settings

_WHAT = {
    DeliveryState.PENDING: "to be delivered",
    DeliveryState.DELIVERED: "to be confirmed",
    DeliveryState.FAILED: "failed",
    DeliveryState.CANCELLED: "cancelled",
}


def show_queue(settings: Settings) -> None:
    """Print the runs that are not written and the deliveries that are not done."""
    confirming = [destination.name for destination in settings.confirming]
    with open_database(settings.database_url)() as session:
        runs, deliveries = waiting_runs(session), open_deliveries(session, confirming=confirming)
    table = make_table(None, "run", "study", "waits", "where to", "since", "objects", "tries", "")
    for run in runs:
        table.add_row(
            run.run_id[:12], run.study_instance_uid, run.state.value, "", local_time(run.since)
        )
    for delivery in deliveries:
        table.add_row(
            delivery.run_id[:12],
            delivery.study_instance_uid,
            _WHAT[delivery.state],
            delivery.destination,
            local_time(delivery.since),
            str(delivery.objects),
            str(delivery.attempts),
            plain(delivery.comment),
        )
    if not runs and not deliveries:
        console.print("nothing waits")
        return
    console.print(table)
