from .checks import (
    CheckResult,
    CheckState,
    check_node,
)
from .logs import (
    configure_logging,
)
from .monitoring import (
    Monitor,
)
from .node import (
    Node,
)
from .roles import (
    ALL_ROLES,
    Role,
)

__all__ = [
    "ALL_ROLES",
    "CheckResult",
    "CheckState",
    "Monitor",
    "Node",
    "Role",
    "check_node",
    "configure_logging",
]
