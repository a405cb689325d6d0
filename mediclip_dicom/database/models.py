"""Tables of the application: tasks, studies, study runs, results and deliveries.

No table holds a patient's name, id or birth date: studies are known by their UIDs.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    DateTime,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import JSON, Enum, TypeDecorator

UID = String(64)
DIGEST = String(64)


class UTCDateTime(TypeDecorator[datetime]):
    """Column of moments in time, written and read as UTC since SQLite keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Any) -> datetime | None:
        """To UTC, before it is written."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, _dialect: Any) -> datetime | None:
        """Aware, after it is read."""
        if value is None or value.tzinfo is not None:
            return value  # type: ignore[no-any-return]
        return value.replace(tzinfo=UTC)  # type: ignore[no-any-return]


class TaskVersionState(StrEnum):
    """State of a task version: routing chooses active ones only."""

    ACTIVE = "active"
    RETIRED = "retired"


class RunState(StrEnum):
    """State of a study run."""

    QUEUED = "queued"
    SCORING = "scoring"
    WRITING = "writing"
    DELIVERING = "delivering"
    DONE = "done"
    NO_TASK = "no task"
    FAILED = "failed"


class DeliveryState(StrEnum):
    """State of a result object on its way to a destination.

    Delivered: accepted by C-STORE. Confirmed: the destination has taken responsibility for it, by
    storage commitment. Failed: given up. Cancelled: by an administrator.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Base(DeclarativeBase):
    """Base of all tables; named constraints can be found by migrations on any database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime}  # noqa: RUF012 (SQLAlchemy's hook)


def _states(kind: type[StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, length=16, values_callable=lambda e: [s.value for s in e])


class Task(Base):
    """Named detector definition, with the route of the images that it reads."""

    __tablename__ = "task"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    modality: Mapped[str] = mapped_column(String(16))
    body_part: Mapped[str | None] = mapped_column(String(64))
    view: Mapped[str | None] = mapped_column(String(16))
    series_description: Mapped[str | None] = mapped_column(String(256))
    excluded_series: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    versions: Mapped[list["TaskVersion"]] = relationship(
        back_populates="task", order_by="TaskVersion.number"
    )


class TaskVersion(Base):
    """Fitted and calibrated detector of a task, with its weights.

    `geometry` and `backbone_trained` repeat what the weights say, so that a stored result is read
    without them. `calibration` is None for a version of 0.1.0, which counted. `preparation` holds
    windows, crop and tiles; where it is None, the window is that of `window_center` and
    `window_width`, if they are given. `support_kinds` holds the kinds of image of the support set;
    None in versions of releases that kept none.
    """

    __tablename__ = "task_version"
    __table_args__ = (UniqueConstraint("task_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("task.id"))
    number: Mapped[int]
    uid: Mapped[str] = mapped_column(DIGEST, unique=True)
    state: Mapped[TaskVersionState] = mapped_column(_states(TaskVersionState))
    window_center: Mapped[float | None]
    window_width: Mapped[float | None]
    preset: Mapped[str] = mapped_column(String(32))
    geometry: Mapped[str] = mapped_column(String(16), default="pad", server_default="pad")
    backbone: Mapped[str] = mapped_column(String(256))
    backbone_trained: Mapped[bool] = mapped_column(default=True, server_default="1")
    backbone_sha256: Mapped[str] = mapped_column(DIGEST)
    weights: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    weights_sha256: Mapped[str] = mapped_column(DIGEST)
    seed: Mapped[int]
    k: Mapped[int]
    false_positive_rate: Mapped[float]
    normal_scores: Mapped[list[float]] = mapped_column(JSON)
    calibration: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    preparation: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    support_kinds: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime]
    task: Mapped[Task] = relationship(back_populates="versions")
    support_items: Mapped[list["SupportItem"]] = relationship(back_populates="task_version")


class SupportItem(Base):
    """Image of a support set: its origin and digest, and the picture that the detector saw.

    `picture` is a PNG of 224 x 224 pixels without metadata, which is shown beside findings; NULL in
    versions of releases that kept none.
    """

    __tablename__ = "support_item"

    id: Mapped[int] = mapped_column(primary_key=True)
    task_version_id: Mapped[int] = mapped_column(ForeignKey("task_version.id"), index=True)
    study: Mapped[str] = mapped_column(String(256))
    image: Mapped[str] = mapped_column(String(256))
    frame: Mapped[int]
    digest: Mapped[str] = mapped_column(DIGEST)
    picture: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    task_version: Mapped[TaskVersion] = relationship(back_populates="support_items")


class Study(Base):
    """Study that the node has received."""

    __tablename__ = "study"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    first_seen_at: Mapped[datetime]
    revisions: Mapped[list["StudyRevision"]] = relationship(
        back_populates="study", order_by="StudyRevision.number"
    )


class StudyRevision(Base):
    """Instances of a study at the moment when it counted as complete.

    `set_aside` counts other contents under the same SOP Instance UIDs; those that no verdict may
    ignore are listed in `unread`, see `studies.content`. `patients` counts the patients of its
    images, and `notes` are sentences for the report; neither holds a value of a patient.
    """

    __tablename__ = "study_revision"
    __table_args__ = (
        UniqueConstraint("study_id", "number"),
        UniqueConstraint("study_id", "content_digest", name="uq_study_revision_content"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    number: Mapped[int]
    content_digest: Mapped[str] = mapped_column(DIGEST)
    set_aside: Mapped[int] = mapped_column(default=0, server_default="0")
    unread: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    notes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    patients: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime]
    study: Mapped[Study] = relationship(back_populates="revisions")
    instances: Mapped[list["RevisionInstance"]] = relationship(
        back_populates="revision", order_by="RevisionInstance.sop_instance_uid"
    )
    runs: Mapped[list["Run"]] = relationship(back_populates="revision")


class RevisionInstance(Base):
    """SOP instance of a study revision; the path is relative to the spool.

    `header` holds the header facts of an image, parsed once when the study was gathered (see
    `imaging.header_json`); `not_an_image` says why there are none. Both are NULL in revisions of
    releases before 0.2, whose files are parsed when they are needed. `patient` numbers the patients
    of a revision from 1.
    """

    __tablename__ = "revision_instance"

    revision_id: Mapped[int] = mapped_column(ForeignKey("study_revision.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    digest: Mapped[str] = mapped_column(DIGEST)
    path: Mapped[str] = mapped_column(String(512))
    header: Mapped[str | None] = mapped_column(Text)
    not_an_image: Mapped[str | None] = mapped_column(String(512))
    patient: Mapped[int] = mapped_column(default=1, server_default="1")
    revision: Mapped[StudyRevision] = relationship(back_populates="instances")


class Run(Base):
    """Analysis of one study revision by the task versions that its images were routed to."""

    __tablename__ = "run"

    id: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("study_revision.id"), index=True)
    state: Mapped[RunState] = mapped_column(_states(RunState))
    reason: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    revision: Mapped[StudyRevision] = relationship(back_populates="runs")
    verdicts: Mapped[list["TaskVerdict"]] = relationship(
        back_populates="run", foreign_keys="TaskVerdict.run_id"
    )
    image_scores: Mapped[list["ImageScore"]] = relationship(back_populates="run")
    results: Mapped[list["ResultFile"]] = relationship(back_populates="run")


class TaskVerdict(Base):
    """Verdict of one task version on the study in one run.

    `read_in_run_id` is the earlier run of the same revision that scored the images and holds maps
    and result objects; NULL where this run did. `findings` are JSON, see `studies.findings`.
    """

    __tablename__ = "task_verdict"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    task_version_id: Mapped[int] = mapped_column(ForeignKey("task_version.id"), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(16))
    score: Mapped[float | None]
    p_value: Mapped[float | None]
    operating_point: Mapped[float | None]
    read_in_run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    findings: Mapped[str | None] = mapped_column(Text)
    run: Mapped[Run] = relationship(back_populates="verdicts", foreign_keys=[run_id])
    task_version: Mapped[TaskVersion] = relationship()


class ImageScore(Base):
    """Frame of an instance in a run: its score, or the reason why it has none.

    `box` is the part of it that was scored: first row, first column, rows, columns; None: all.
    """

    __tablename__ = "image_score"

    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    frame: Mapped[int] = mapped_column(primary_key=True)
    task_version_id: Mapped[int | None] = mapped_column(ForeignKey("task_version.id"))
    score: Mapped[float | None]
    skipped: Mapped[str | None] = mapped_column(String(512))
    box: Mapped[list[int] | None] = mapped_column(JSON(none_as_null=True))
    run: Mapped[Run] = relationship(back_populates="image_scores")


class ResultFile(Base):
    """DICOM object that a run wrote; the path is relative to the results folder."""

    __tablename__ = "result_object"

    sop_instance_uid: Mapped[str] = mapped_column(UID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"), index=True)
    task_version_id: Mapped[int] = mapped_column(ForeignKey("task_version.id"))
    kind: Mapped[str] = mapped_column(String(16))
    sop_class_uid: Mapped[str] = mapped_column(UID)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    path: Mapped[str] = mapped_column(String(512))
    digest: Mapped[str] = mapped_column(DIGEST)
    run: Mapped[Run] = relationship(back_populates="results")
    deliveries: Mapped[list["Delivery"]] = relationship(back_populates="result")


class Delivery(Base):
    """Result object on its way to one destination."""

    __tablename__ = "delivery"

    sop_instance_uid: Mapped[str] = mapped_column(
        ForeignKey("result_object.sop_instance_uid"), primary_key=True
    )
    destination: Mapped[str] = mapped_column(String(64), primary_key=True)
    state: Mapped[DeliveryState] = mapped_column(_states(DeliveryState))
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None]
    comment: Mapped[str | None] = mapped_column(String(512))
    updated_at: Mapped[datetime]
    transaction_uid: Mapped[str | None] = mapped_column(UID, index=True)
    result: Mapped[ResultFile] = relationship(back_populates="deliveries")
