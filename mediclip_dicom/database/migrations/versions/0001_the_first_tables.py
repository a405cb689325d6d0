"""The first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("study_instance_uid", name=op.f("uq_study_study_instance_uid")),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("modality", sa.String(length=16), nullable=False),
        sa.Column("body_part", sa.String(length=64), nullable=True),
        sa.Column("view", sa.String(length=16), nullable=True),
        sa.Column("series_description", sa.String(length=256), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("name", name=op.f("uq_task_name")),
    )
    op.create_table(
        "study_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_study_revision_study_id_study")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_revision")),
        sa.UniqueConstraint("study_id", "content_digest", name="uq_study_revision_content"),
        sa.UniqueConstraint("study_id", "number", name=op.f("uq_study_revision_study_id")),
    )
    op.create_table(
        "task_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column(
            "state",
            sa.Enum("active", "retired", name="taskversionstate", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("window_center", sa.Double(), nullable=True),
        sa.Column("window_width", sa.Double(), nullable=True),
        sa.Column("preset", sa.String(length=32), nullable=False),
        sa.Column("backbone", sa.String(length=256), nullable=False),
        sa.Column("backbone_sha256", sa.String(length=64), nullable=False),
        sa.Column("weights", sa.LargeBinary(), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("false_positive_rate", sa.Double(), nullable=False),
        sa.Column("normal_scores", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_task_version_task_id_task")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task_version")),
        sa.UniqueConstraint("task_id", "number", name=op.f("uq_task_version_task_id")),
        sa.UniqueConstraint("uid", name=op.f("uq_task_version_uid")),
    )
    op.create_table(
        "revision_instance",
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["study_revision.id"],
            name=op.f("fk_revision_instance_revision_id_study_revision"),
        ),
        sa.PrimaryKeyConstraint(
            "revision_id", "sop_instance_uid", name=op.f("pk_revision_instance")
        ),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "queued",
                "scoring",
                "writing",
                "delivering",
                "done",
                "no task",
                "failed",
                name="runstate",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["revision_id"], ["study_revision.id"], name=op.f("fk_run_revision_id_study_revision")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_revision_id"), ["revision_id"], unique=False)

    op.create_table(
        "support_item",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_version_id", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=256), nullable=False),
        sa.Column("image", sa.String(length=256), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_version_id"],
            ["task_version.id"],
            name=op.f("fk_support_item_task_version_id_task_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_support_item")),
    )
    with op.batch_alter_table("support_item", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_support_item_task_version_id"), ["task_version_id"], unique=False
        )

    op.create_table(
        "image_score",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("task_version_id", sa.Integer(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("skipped", sa.String(length=512), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_image_score_run_id_run")),
        sa.ForeignKeyConstraint(
            ["task_version_id"],
            ["task_version.id"],
            name=op.f("fk_image_score_task_version_id_task_version"),
        ),
        sa.PrimaryKeyConstraint("run_id", "sop_instance_uid", "frame", name=op.f("pk_image_score")),
    )
    op.create_table(
        "result_object",
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("task_version_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_result_object_run_id_run")),
        sa.ForeignKeyConstraint(
            ["task_version_id"],
            ["task_version.id"],
            name=op.f("fk_result_object_task_version_id_task_version"),
        ),
        sa.PrimaryKeyConstraint("sop_instance_uid", name=op.f("pk_result_object")),
    )
    with op.batch_alter_table("result_object", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_result_object_run_id"), ["run_id"], unique=False)

    op.create_table(
        "task_verdict",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("task_version_id", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("p_value", sa.Double(), nullable=True),
        sa.Column("operating_point", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_task_verdict_run_id_run")),
        sa.ForeignKeyConstraint(
            ["task_version_id"],
            ["task_version.id"],
            name=op.f("fk_task_verdict_task_version_id_task_version"),
        ),
        sa.PrimaryKeyConstraint("run_id", "task_version_id", name=op.f("pk_task_verdict")),
    )
    op.create_table(
        "delivery",
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("destination", sa.String(length=64), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "pending", "delivered", "failed", name="deliverystate", native_enum=False, length=16
            ),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("comment", sa.String(length=512), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["sop_instance_uid"],
            ["result_object.sop_instance_uid"],
            name=op.f("fk_delivery_sop_instance_uid_result_object"),
        ),
        sa.PrimaryKeyConstraint("sop_instance_uid", "destination", name=op.f("pk_delivery")),
    )


def downgrade() -> None:
    op.drop_table("delivery")
    op.drop_table("task_verdict")
    with op.batch_alter_table("result_object", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_result_object_run_id"))

    op.drop_table("result_object")
    op.drop_table("image_score")
    with op.batch_alter_table("support_item", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_support_item_task_version_id"))

    op.drop_table("support_item")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_revision_id"))

    op.drop_table("run")
    op.drop_table("revision_instance")
    op.drop_table("task_version")
    op.drop_table("study_revision")
    op.drop_table("task")
    op.drop_table("study")
