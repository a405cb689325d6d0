"""Contents that count as unread, patients of a revision, kinds of image of a support set

Revision ID: 0011
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("study_revision", schema=None) as batch_op:
        batch_op.add_column(sa.Column("unread", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("notes", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("patients", sa.Integer(), server_default="1", nullable=False))
    with op.batch_alter_table("revision_instance", schema=None) as batch_op:
        batch_op.add_column(sa.Column("patient", sa.Integer(), server_default="1", nullable=False))
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.add_column(sa.Column("excluded_series", sa.JSON(), nullable=True))
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("support_kinds", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.drop_column("support_kinds")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_column("excluded_series")
    with op.batch_alter_table("revision_instance", schema=None) as batch_op:
        batch_op.drop_column("patient")
    with op.batch_alter_table("study_revision", schema=None) as batch_op:
        batch_op.drop_column("patients")
        batch_op.drop_column("notes")
        batch_op.drop_column("unread")
