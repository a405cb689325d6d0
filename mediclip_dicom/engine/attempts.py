"""Retries of deliveries and commitment requests, with exponential back-off.

An attempt is a workflow of its own and the next one is enqueued with a delay, so that what waits
holds no place in the queue: one study that can't be sent keeps no other from being sent.
"""

import hashlib
from collections.abc import Callable
from enum import StrEnum

import structlog
from dbos import DBOS

from mediclip_dicom.delivery import is_transient
from mediclip_dicom.settings import DeliverySettings
from mediclip_dicom.studies import reason_of

log = structlog.get_logger()

LONGEST_PAUSE_S = 3600.0


class AttemptResult(StrEnum):
    """Result of an attempt."""

    DONE = "done"
    LATER = "later"
    NEVER = "never"


def try_once(
    step: str, function: Callable[[str, str], None], run_id: str, destination: str
) -> AttemptResult:
    """Run a step that needs a destination once; an error becomes the result, never an exception.

    Args:
        step: its name in the engine's tables.
        function: called with the run and the destination.
        run_id: the run.
        destination: the name of the destination.
    """

    def tried() -> str:
        try:
            function(run_id, destination)
        except Exception as error:  # noqa: BLE001  told in the log, and tried again
            ended = AttemptResult.LATER if is_transient(error) else AttemptResult.NEVER
            log.warning(
                "attempt.failed",
                step=step,
                destination=destination,
                again=ended,
                reason=reason_of(error),
            )
            return ended
        return AttemptResult.DONE

    return AttemptResult(DBOS.run_step({"name": step, "retries_allowed": False}, tried))


def pause_s(settings: DeliverySettings, run_id: str, destination: str, attempts: int) -> float:
    """Return the seconds to wait after so many attempts, with a jitter fixed per study.

    The difference (a factor from 0.75 to 1.25) is the same whenever the workflow is replayed:
    studies that failed together must not come back together.
    """
    digest = hashlib.sha256(f"{run_id}-{destination}".encode()).digest()
    # The exponent is bounded so that the power stays a float.
    growth = settings.backoff ** min(attempts - 1, 64)
    return min(settings.first_retry_s * growth, LONGEST_PAUSE_S) * (0.75 + digest[0] / 510)
