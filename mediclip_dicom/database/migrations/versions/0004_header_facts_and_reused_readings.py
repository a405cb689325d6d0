"""Header facts of the instances of a revision; the run that a reused verdict was read in

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("revision_instance", schema=None) as batch_op:
        batch_op.add_column(sa.Column("header", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("not_an_image", sa.String(length=512), nullable=True))
    with op.batch_alter_table("task_verdict", schema=None) as batch_op:
        batch_op.add_column(sa.Column("read_in_run_id", sa.String(length=64), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_task_verdict_read_in_run_id_run"), "run", ["read_in_run_id"], ["id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("task_verdict", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_task_verdict_read_in_run_id_run"), type_="foreignkey"
        )
        batch_op.drop_column("read_in_run_id")
    with op.batch_alter_table("revision_instance", schema=None) as batch_op:
        batch_op.drop_column("not_an_image")
        batch_op.drop_column("header")
