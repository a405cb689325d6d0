from .client import (
    EngineClient,
)
from .operations import (
    cancel,
    complete_now,
    retry,
)
from .sqlite import (
    check_sqlite,
)
from .workflows import (
    WorkflowEngine,
)

__all__ = [
    "EngineClient",
    "WorkflowEngine",
    "cancel",
    "check_sqlite",
    "complete_now",
    "retry",
]
