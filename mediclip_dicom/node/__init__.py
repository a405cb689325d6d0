"""Roles of the node, its health checks, metrics and log; each name is loaded when it is used."""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from mediclip_dicom.node.checks import CheckResult, CheckState, check_node
    from mediclip_dicom.node.logs import configure_logging
    from mediclip_dicom.node.monitoring import Monitor
    from mediclip_dicom.node.node import Node
    from mediclip_dicom.node.roles import ALL_ROLES, Role

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

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checks": ["CheckResult", "CheckState", "check_node"],
        "logs": ["configure_logging"],
        "monitoring": ["Monitor"],
        "node": ["Node"],
        "roles": ["ALL_ROLES", "Role"],
    },
)
