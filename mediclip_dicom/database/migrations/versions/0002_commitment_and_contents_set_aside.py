"""Storage commitment of deliveries; contents set aside in a revision

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("study_revision", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("set_aside", sa.Integer(), server_default="0", nullable=False)
        )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.add_column(sa.Column("transaction_uid", sa.String(length=64), nullable=True))
        batch_op.create_index(batch_op.f("ix_delivery_transaction_uid"), ["transaction_uid"])


def downgrade() -> None:
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_delivery_transaction_uid"))
        batch_op.drop_column("transaction_uid")
    with op.batch_alter_table("study_revision", schema=None) as batch_op:
        batch_op.drop_column("set_aside")
