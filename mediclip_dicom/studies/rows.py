"""Frozen rows that the queries about studies return."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mediclip_dicom.database import DeliveryState, RunState
from mediclip_dicom.studies.findings import FindingRows

SUSPICIOUS_P = 0.2
"""p-value up to which a study that is not abnormal is listed as suspicious."""


class Grade(StrEnum):
    """Grade of a study on the worklist; the report says abnormal, normal or undetermined."""

    ABNORMAL = "abnormal"
    SUSPICIOUS = "suspicious"
    NORMAL = "normal"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """Verdict of one task version in one run.

    Attributes:
        task: name of the task.
        version: number of its version.
        verdict: "abnormal", "normal" or "undetermined".
        score: score of the study; None where no image could be scored.
        operating_point: threshold at which the study was judged; None for an uncalibrated task.
        p_value: chance of a normal study to score as high, in (0, 1].
        read_in_run_id: earlier run whose reading is reused; None for a reading of this run.
        findings: its findings; None for a reading of a release that kept none.
        extrapolated: whether the p-value is below 1 / (k + 1), which counting can't reach.
    """

    task: str
    version: int
    verdict: str
    score: float | None
    operating_point: float | None
    p_value: float | None
    read_in_run_id: str | None
    findings: FindingRows | None = None
    extrapolated: bool = False

    @property
    def grade(self) -> Grade:
        """Grade by verdict and p-value: suspicious where p is at most `SUSPICIOUS_P`."""
        if self.verdict != Grade.ABNORMAL and self.p_value is not None:
            return Grade.SUSPICIOUS if self.p_value <= SUSPICIOUS_P else Grade(self.verdict)
        return Grade(self.verdict)


@dataclass(frozen=True, slots=True)
class RunRow:
    """Study run as a list shows it."""

    run_id: str
    state: RunState
    verdicts: tuple[VerdictRow, ...]


@dataclass(frozen=True, slots=True)
class StudyRow:
    """Study as a list shows it: its newest revision.

    Attributes:
        study_uid: Study Instance UID.
        received_at: moment at which the revision counted as complete.
        revision: number of the revision, from 1.
        instances: number of its SOP instances.
        runs: its runs; none while the study waits for its turn.
    """

    study_uid: str
    received_at: datetime
    revision: int
    instances: int
    runs: tuple[RunRow, ...]


@dataclass(frozen=True, slots=True)
class StudyPage:
    """Part of the list of studies, and the number of studies in all."""

    rows: tuple[StudyRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """Result object on its way to one destination.

    Attributes:
        destination: name of the destination.
        state: pending, delivered, confirmed, failed or cancelled.
        attempts: number of tries.
        status: status of the last C-STORE answer, if any.
        comment: error comment of the destination, or the reason why it was not reached.
        updated_at: moment of the last change.
    """

    destination: str
    state: DeliveryState
    attempts: int
    status: int | None
    comment: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ResultRow:
    """Result object of a run; `path` is relative to the folder of results."""

    kind: str
    sop_uid: str
    path: str
    deliveries: tuple[DeliveryRow, ...]


@dataclass(frozen=True, slots=True)
class RunDetails:
    """Study run with all that it found and wrote.

    Attributes:
        run_id: id of the run.
        revision: number of the study revision that was analysed, from 1.
        set_aside: number of other contents under the same SOP Instance UIDs.
        state: progress of the run.
        reason: cause of a failure, or of a run without task.
        created_at: moment at which the run was written down.
        finished_at: moment at which it was done or failed.
        verdicts: one for each task version.
        scored: number of frames with a score.
        skipped: reasons why frames have none, with their numbers.
        results: objects that were written.
    """

    run_id: str
    revision: int
    set_aside: int
    state: RunState
    reason: str | None
    created_at: datetime
    finished_at: datetime | None
    verdicts: tuple[VerdictRow, ...]
    scored: int
    skipped: tuple[tuple[str, int], ...]
    results: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class StudyDetails:
    """Study with every run of every revision, the oldest first."""

    study_uid: str
    first_seen_at: datetime
    runs: tuple[RunDetails, ...]


@dataclass(frozen=True, slots=True)
class NewestReading:
    """Newest reading of a study by each task version that its newest run names.

    Attributes:
        sources: (run, task version) of each reading; the run is an earlier one of the same
            revision where its reading was reused.
        objects: paths of their result objects, relative to the folder of results.
    """

    sources: tuple[tuple[str, int], ...]
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WaitingRun:
    """Study run whose results are not written yet."""

    run_id: str
    study_uid: str
    state: RunState
    since: datetime


@dataclass(frozen=True, slots=True)
class OpenDelivery:
    """Result objects of one run that a destination has not taken, or not confirmed.

    Attributes:
        run_id: id of the run.
        study_uid: Study Instance UID.
        destination: name of the destination.
        state: state that the objects share.
        objects: number of objects.
        attempts: tries of the object that was tried most often.
        since: moment at which the run was written down.
        comment: error comment of the destination, or the reason why it was not reached.
    """

    run_id: str
    study_uid: str
    destination: str
    state: DeliveryState
    objects: int
    attempts: int
    since: datetime
    comment: str
