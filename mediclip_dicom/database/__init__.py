"""Database of the application: tables, sessions and migrations."""

from mediclip_dicom.database.engine import Sessions, connect, is_current, is_known, open_database
from mediclip_dicom.database.models import (
    Base,
    Delivery,
    DeliveryState,
    ImageScore,
    ResultFile,
    RevisionInstance,
    Run,
    RunState,
    Study,
    StudyRevision,
    SupportItem,
    Task,
    TaskVerdict,
    TaskVersion,
    TaskVersionState,
)

__all__ = [
    "Base",
    "Delivery",
    "DeliveryState",
    "ImageScore",
    "ResultFile",
    "RevisionInstance",
    "Run",
    "RunState",
    "Sessions",
    "Study",
    "StudyRevision",
    "SupportItem",
    "Task",
    "TaskVerdict",
    "TaskVersion",
    "TaskVersionState",
    "connect",
    "is_current",
    "is_known",
    "open_database",
]
