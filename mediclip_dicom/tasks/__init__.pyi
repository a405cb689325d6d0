from .calibration import (
    Calibration,
    DecidingStudy,
)
from .detectors import (
    DetectorStore,
    incompatible_versions,
    open_backbone,
)
from .registration import (
    Fitted,
    Registered,
    TaskRequest,
    fit_task,
    register_from_paths,
    register_from_source,
    register_task,
)
from .routing import (
    Route,
    first_match,
)
from .sources import (
    FolderSource,
    StudyEntry,
    StudyFiles,
    StudySearch,
    StudySource,
    explain_files,
    read_images,
)
from .support import (
    SupportImage,
    SupportSet,
    SupportStudy,
    read_support_set,
)
from .support_pictures import (
    SupportPicture,
    read_support_pictures,
)
from .versions import (
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

__all__ = [
    "ActiveTask",
    "Calibration",
    "DecidingStudy",
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
    "SupportPicture",
    "SupportSet",
    "SupportStudy",
    "TaskDefinition",
    "TaskRequest",
    "TaskRow",
    "TaskVersionInfo",
    "TaskVersionRow",
    "active_tasks",
    "active_version",
    "explain_files",
    "first_match",
    "fit_task",
    "get_version",
    "incompatible_versions",
    "list_tasks",
    "list_versions",
    "open_backbone",
    "read_images",
    "read_support_pictures",
    "read_support_set",
    "register_from_paths",
    "register_from_source",
    "register_task",
    "retire_task",
]
