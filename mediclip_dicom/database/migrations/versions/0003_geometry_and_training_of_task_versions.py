"""Geometry of a task version's images, and whether its backbone was trained

Revision ID: 0003
Revises: 0002
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# The presets and the saved form of a detector as they are at this revision: a migration must give
# the same rows when the code has moved on.
GEOMETRIES = ("pad", "stretch")
GEOMETRY_OF_PRESET = {"paper": "stretch", "official": "stretch"}
DEFAULT_GEOMETRY = "pad"
UNTRAINED = "untrained"
LENGTH_BYTES = 8
METADATA_KEY = "mediclip_detector"


def upgrade() -> None:
    # Defaults of the server, so that SQLite adds the columns without building the table anew.
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "geometry", sa.String(length=16), server_default=DEFAULT_GEOMETRY, nullable=False
            )
        )
        batch_op.add_column(
            sa.Column("backbone_trained", sa.Boolean(), server_default="1", nullable=False)
        )
    versions = sa.table(
        "task_version",
        sa.column("id", sa.Integer),
        sa.column("preset", sa.String),
        sa.column("backbone", sa.String),
        sa.column("weights", sa.LargeBinary),
        sa.column("geometry", sa.String),
        sa.column("backbone_trained", sa.Boolean),
    )
    connection = op.get_bind()
    for version_id in connection.scalars(sa.select(versions.c.id)).all():
        row = connection.execute(
            sa.select(versions.c.preset, versions.c.backbone, versions.c.weights).where(
                versions.c.id == version_id
            )
        ).one()
        description = _description(row.weights or b"")
        connection.execute(
            sa.update(versions)
            .where(versions.c.id == version_id)
            .values(
                geometry=_geometry(description, preset=row.preset),
                backbone_trained=_is_trained(description, label=row.backbone),
            )
        )


def downgrade() -> None:
    with op.batch_alter_table("task_version", schema=None) as batch_op:
        batch_op.drop_column("backbone_trained")
        batch_op.drop_column("geometry")


def _description(weights: bytes) -> dict[str, Any]:
    """Read the description of a saved detector from its safetensors header; {} if damaged."""
    length = int.from_bytes(weights[:LENGTH_BYTES], "little")
    try:
        header = json.loads(weights[LENGTH_BYTES : LENGTH_BYTES + length])
        found = json.loads(header["__metadata__"][METADATA_KEY])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _geometry(description: dict[str, Any], *, preset: str) -> str:
    found = description.get("preset")
    geometry = found.get("geometry") if isinstance(found, dict) else None
    if geometry in GEOMETRIES:
        return str(geometry)
    return GEOMETRY_OF_PRESET.get(preset, DEFAULT_GEOMETRY)


def _is_trained(description: dict[str, Any], *, label: str) -> bool:
    """The label is "model (weights)", or one name where both are the same."""
    return description.get("weights") != UNTRAINED and not (
        label == UNTRAINED or label.endswith(f"({UNTRAINED})")
    )
