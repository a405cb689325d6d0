"""Names of workflows, steps and queues in the engine's tables; they outlive a release.

A run that an older release began is finished by this one only where every name is the same: a
renamed step strands it. Change nothing here without a plan for the runs that are half done.
"""

import re

APPLICATION_NAME = "mediclip-dicom"
# Fixed, so that a new release of the node takes over the work that an older one left behind.
WORKFLOW_VERSION = "1"

GATHER = "gather"
ANALYZE = "analyze"
DELIVER = "deliver"
CONFIRM = "confirm"
TAKE_REVISION = "take_revision"
ROUTE = "route"
TASK_VERSIONS = "task_versions"
SCORE = "score"
WRITE = "write"
PLAN_DELIVERIES = "plan_deliveries"
FAIL = "fail"
DELIVER_ONCE = "deliver"
GIVE_UP_DELIVERY = "give_up_delivery"
FINISH = "finish"
ASK_COMMITMENT = "ask"

GATHER_QUEUE = "gather"
ANALYZE_QUEUE = "analyze"


def delivery_id(run_id: str, destination: str, *, again: str = "") -> str:
    """Return the workflow id of the first attempt to deliver a run to a destination.

    Args:
        run_id: The run.
        destination: Where to; its name holds no full stop.
        again: Tells one more round of attempts from those before.
    """
    return f"{run_id}-to-{destination}" + (f".again-{again}" if again else "")


def next_attempt_id(workflow_id: str, attempt: int) -> str:
    """Return the workflow id of an attempt, from the id of the one before."""
    return f"{workflow_id.removesuffix(f'.{attempt - 1}')}.{attempt}"


def is_delivery(workflow_id: str, run_id: str, destination: str) -> bool:
    """Return whether a workflow is an attempt, of any round, at a delivery."""
    first = re.escape(delivery_id(run_id, destination))
    return re.fullmatch(rf"{first}(\.again-\w+)?(\.\d+)?", workflow_id) is not None


def delivery_queue(destination: str) -> str:
    """Return the name of a destination's queue."""
    return f"deliver-{destination}"


def confirmation_queue(destination: str) -> str:
    """Return the name of the queue of a destination's commitment requests."""
    return f"confirm-{destination}"
