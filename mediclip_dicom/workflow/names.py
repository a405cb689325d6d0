"""The names under which the engine knows our workflows and queues; they outlive a release."""

APPLICATION_NAME = "mediclip-dicom"
# Fixed, so that a new release of the node takes over the work that an older one left behind.
WORKFLOW_VERSION = "1"

GATHER = "gather"
ANALYZE = "analyze"
DELIVER = "deliver"
CONFIRM = "confirm"
GATHER_QUEUE = "gather"
ANALYZE_QUEUE = "analyze"


def delivery_queue(destination: str) -> str:
    """The queue of one destination."""
    return f"deliver-{destination}"


def confirmation_queue(destination: str) -> str:
    """The queue of one destination's questions about what it took."""
    return f"confirm-{destination}"
