"""Rule, folds and deciding normal study of task versions

A version without it was calibrated by the rule of 0.1.0, counting, and keeps it.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task_version", sa.Column("calibration", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.drop_column("calibration")
