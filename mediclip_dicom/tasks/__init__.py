"""Tasks: named detector definitions, their fitted versions, and registration from normal studies.

The names that need torch are loaded when they are first used: reading a task needs none of them.
"""

from typing import TYPE_CHECKING

import lazy_loader

from mediclip_dicom.tasks.routing import Route, first_match
from mediclip_dicom.tasks.sources import (
    FolderSource,
    StudyEntry,
    StudyFiles,
    StudySearch,
    StudySource,
    read_images,
)
from mediclip_dicom.tasks.versions import (
    ActiveTask,
    TaskDefinition,
    TaskRow,
    TaskVersionInfo,
    TaskVersionRow,
    active_tasks,
    active_version,
    get_version,
    list_tasks,
    list_versions,
    retire_task,
)

if TYPE_CHECKING:
    from mediclip_dicom.tasks.detectors import DetectorStore, incompatible_versions, open_backbone
    from mediclip_dicom.tasks.registration import (
        Fitted,
        Registered,
        TaskRequest,
        fit_task,
        register_from_paths,
        register_from_source,
        register_task,
    )
    from mediclip_dicom.tasks.support import (
        SupportImage,
        SupportSet,
        SupportStudy,
        read_support_set,
    )

__all__ = [
    "ActiveTask",
    "DetectorStore",
    "Fitted",
    "FolderSource",
    "Registered",
    "Route",
    "StudyEntry",
    "StudyFiles",
    "StudySearch",
    "StudySource",
    "SupportImage",
    "SupportSet",
    "SupportStudy",
    "TaskDefinition",
    "TaskRequest",
    "TaskRow",
    "TaskVersionInfo",
    "TaskVersionRow",
    "active_tasks",
    "active_version",
    "first_match",
    "fit_task",
    "get_version",
    "incompatible_versions",
    "list_tasks",
    "list_versions",
    "open_backbone",
    "read_images",
    "read_support_set",
    "register_from_paths",
    "register_from_source",
    "register_task",
    "retire_task",
]

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "detectors": ["DetectorStore", "incompatible_versions", "open_backbone"],
        "registration": [
            "Fitted",
            "Registered",
            "TaskRequest",
            "fit_task",
            "register_from_paths",
            "register_from_source",
            "register_task",
        ],
        "support": [
            "SupportImage",
            "SupportSet",
            "SupportStudy",
            "read_support_set",
        ],
    },
)
