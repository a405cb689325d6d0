from .analysis import (
    score_images,
)
from .comparing import (
    compare_findings,
)
from .comparisons import (
    stored_comparisons,
)
from .completion import (
    Completion,
)
from .content import (
    StudyContent,
    open_spool,
    study_content,
)
from .findings import (
    FindingRow,
    FindingRows,
    NormalRow,
    finding_rows,
)
from .intake import (
    Intake,
)
from .queries import (
    OPEN_DELIVERIES,
    WAITING_RUNS,
    get_study,
    list_studies,
    newest_reading,
    open_deliveries,
    waiting_runs,
)
from .reading import (
    RevisionInfo,
    make_reading,
    stored_reading,
)
from .retention import (
    Retention,
)
from .rows import (
    DeliveryRow,
    Grade,
    NewestReading,
    OpenDelivery,
    ResultRow,
    RunDetails,
    RunRow,
    StudyDetails,
    StudyPage,
    StudyRow,
    VerdictRow,
    WaitingRun,
)
from .runs import (
    logged_as,
    mark_failed,
    reason_of,
    set_run_state,
)
from .scoring import (
    Scoring,
)
from .unread import (
    UnreadStudy,
    unread_studies,
)

__all__ = [
    "OPEN_DELIVERIES",
    "WAITING_RUNS",
    "Completion",
    "DeliveryRow",
    "FindingRow",
    "FindingRows",
    "Grade",
    "Intake",
    "NewestReading",
    "NormalRow",
    "OpenDelivery",
    "ResultRow",
    "Retention",
    "RevisionInfo",
    "RunDetails",
    "RunRow",
    "Scoring",
    "StudyContent",
    "StudyDetails",
    "StudyPage",
    "StudyRow",
    "UnreadStudy",
    "VerdictRow",
    "WaitingRun",
    "compare_findings",
    "finding_rows",
    "get_study",
    "list_studies",
    "logged_as",
    "make_reading",
    "mark_failed",
    "newest_reading",
    "open_deliveries",
    "open_spool",
    "reason_of",
    "score_images",
    "set_run_state",
    "stored_comparisons",
    "stored_reading",
    "study_content",
    "unread_studies",
    "waiting_runs",
]
