"""Windows, crop and tiles of task versions, and the part of a frame that was scored

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.add_column(sa.Column("preparation", sa.JSON(), nullable=True))
    with op.batch_alter_table("image_score", schema=None) as batch_op:
        batch_op.add_column(sa.Column("box", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("image_score", schema=None) as batch_op:
        batch_op.drop_column("box")
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.drop_column("preparation")
