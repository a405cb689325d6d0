"""Databases as earlier versions of the node left them: a revision's tables, filled with rows."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Column, Connection, Engine, LargeBinary, MetaData, Table, insert
from sqlalchemy.types import Boolean, DateTime, Float, Integer, String

from mediclip_dicom.database.engine import MIGRATIONS
from tests.factories.saved_detectors import saved_detector

Row = Mapping[str, Any]

HEADER_FACTS = Path(__file__).with_name("header_facts.json").read_text(encoding="utf-8").strip()
"""As revision 0004 stored them first; what later code writes may have more."""

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
RUN_STATES = ("queued", "scoring", "writing", "delivering", "done", "no task", "failed")
DELIVERY_STATES = ("pending", "delivered", "failed")
DELIVERY_STATES_SINCE_0002 = ("confirmed", "cancelled")
ENDED = {"done", "no task", "failed"}
KINDS = {
    "SR": "1.2.840.10008.5.1.4.1.1.88.34",
    "SEG": "1.2.840.10008.5.1.4.1.1.66.4",
    "PM": "1.2.840.10008.5.1.4.1.1.30",
}


def revisions() -> list[str]:
    """Return every revision of the database, oldest first."""
    scripts = ScriptDirectory(str(MIGRATIONS)).walk_revisions()
    return [script.revision for script in scripts][::-1]


def migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    """Bring a database to a revision.

    Foreign keys are not enforced meanwhile, as SQLite's documentation says for tables that are
    built anew; the caller checks them afterwards.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.commit()
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)
        connection.commit()
    engine.dispose()


def fill(engine: Engine, revision: str) -> None:
    """Put linked rows into every table of the revision that the database is at."""
    tables = MetaData()
    tables.reflect(engine)
    literal = rows_at(revision)
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            if table.name != "alembic_version":
                _fill_table(connection, table, literal.get(table.name, [{}]))


def rows_at(revision: str) -> dict[str, list[Row]]:
    """Realistic values by table and column; a column that the revision lacks is left out."""
    states: tuple[str, ...] = DELIVERY_STATES
    if revision != "0001":
        states += DELIVERY_STATES_SINCE_0002
    return {
        "task": list(_tasks()),
        "task_version": list(_task_versions()),
        "support_item": list(_support_items()),
        "study": [
            {"id": n, "study_instance_uid": f"1.2.826.0.1.{n}", "first_seen_at": _at(n)}
            for n in (1, 2)
        ],
        "study_revision": list(_study_revisions()),
        "revision_instance": list(_instances()),
        "run": list(_runs()),
        "image_score": list(_image_scores()),
        "task_verdict": list(_verdicts()),
        "result_object": list(_result_objects()),
        "delivery": list(_deliveries(states)),
    }


def _fill_table(connection: Connection, table: Table, rows: list[Row]) -> None:
    for number, row in enumerate(rows, start=1):
        values = {
            column.name: row[column.name]
            if column.name in row
            else _made_up(connection, column, number)
            for column in table.columns
        }
        connection.execute(insert(table).values(values))


def _made_up(connection: Connection, column: Column[Any], number: int) -> Any:
    """Return a value for a column without a realistic one: a parent's key, or one by its type."""
    for key in column.foreign_keys:
        return (
            connection.execute(key.column.table.select().limit(1)).mappings().one()[key.column.name]
        )
    if column.server_default is not None:
        return None if column.nullable else _default_of(column)
    by_type: dict[type[Any], Any] = {
        Boolean: True,
        DateTime: _at(number),
        Float: number + 0.5,
        Integer: number,
        JSON: [],
        LargeBinary: b"\x00\x01",
    }
    for kind, value in by_type.items():
        if isinstance(column.type, kind):
            return value
    if isinstance(column.type, String):
        return None if column.nullable else f"{column.name} {number}"[: column.type.length]
    raise NotImplementedError(f"no value for {column!r}: name one in rows_at()")


def _default_of(column: Column[Any]) -> Any:
    text = str(getattr(column.server_default, "arg", "")).strip("'")
    return int(text) if isinstance(column.type, Integer | Boolean) else text


def _at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def _digest(number: int) -> str:
    return f"{number:064x}"


def _tasks() -> Iterator[Row]:
    yield {
        "id": 1,
        "name": "brain-mr",
        "modality": "MR",
        "body_part": "BRAIN",
        "view": None,
        "series_description": r"(?i)t1.*ax",
        "excluded_series": ["*mip*", "*scout*"],
        "created_at": _at(0),
    }
    yield {
        "id": 2,
        "name": "chest-dx",
        "modality": "DX",
        "body_part": None,
        "view": "PA",
        "series_description": None,
        "excluded_series": None,
        "created_at": _at(1),
    }


def _task_versions() -> Iterator[Row]:
    """Three of the first task, of which one is damaged; one without weights of the second."""
    whole = saved_detector("default")
    versions = (
        (1, 1, "retired", "official", "untrained", saved_detector("official")),
        (1, 2, "active", "default", "ViT-L-14", whole),
        (1, 3, "retired", "default", "ViT-L-14", whole[: len(whole) // 2]),
        (2, 1, "retired", "default", "ViT-L-14", b""),
    )
    for n, (task, number, state, preset, backbone, weights) in enumerate(versions, start=1):
        yield {
            "id": n,
            "task_id": task,
            "number": number,
            "uid": _digest(100 + n),
            "state": state,
            "window_center": 40.0 if number == 1 else None,
            "window_width": 80.0 if number == 1 else None,
            "preset": preset,
            "geometry": "stretch" if preset == "official" else "pad",
            "backbone_trained": backbone != "untrained",
            "backbone": backbone,
            "backbone_sha256": _digest(200),
            "weights": weights,
            "weights_sha256": _digest(300 + n),
            "seed": 7,
            "k": 2,
            "false_positive_rate": 0.05,
            "normal_scores": [0.125, 0.25, 1e-300],
            "calibration": CALIBRATION if n == 3 else None,
            "preparation": PREPARATION if n == 4 else None,
            "support_kinds": SUPPORT_KINDS if n == 2 else None,
            "created_at": _at(n),
        }


UNREAD = [
    {
        "sop_instance_uid": "1.2.826.0.1.1.1.0",
        "series_instance_uid": "1.2.826.0.1.1.2",
        "frames": 1,
        "reason": "set aside: its SOP Instance UID is that of an image of another series",
    }
]

SUPPORT_KINDS = {
    "sop_classes": ["1.2.840.10008.5.1.4.1.1.4"],
    "image_types": [["ORIGINAL", "PRIMARY"]],
    "normals": [[0.0, 0.0, 1.0]],
}

PREPARATION = {
    "windows": [
        {"center": -600.0, "width": 1500.0, "name": "lung"},
        {"center": 40.0, "width": 80.0, "name": ""},
    ],
    "crop": True,
    "tiles": 2,
}

CALIBRATION = {
    "rule": "tail",
    "folds": 2,
    "extrapolated": False,
    "deciding": {
        "number": 1,
        "study": "1.2.826.0.2.4",
        "image": "1.2.826.0.2.4.1",
        "frame": 1,
        "score": 0.25,
        "gap": 0.125,
        "threshold_without": None,
    },
}


PICTURE = base64.b64decode(
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
"""A PNG of one grey pixel."""


def _support_items() -> Iterator[Row]:
    for n in range(8):
        yield {
            "id": n + 1,
            "task_version_id": n // 2 + 1,
            "study": f"1.2.826.0.2.{n}",
            "image": f"1.2.826.0.2.{n}.1",
            "frame": n % 2 + 1,
            "digest": _digest(400 + n),
            "picture": PICTURE if n == 5 else None,
        }


def _study_revisions() -> Iterator[Row]:
    for n, (study, number, set_aside) in enumerate(((1, 1, 0), (1, 2, 3), (2, 1, 0)), start=1):
        yield {
            "id": n,
            "study_id": study,
            "number": number,
            "content_digest": _digest(500 + n),
            "set_aside": set_aside,
            "unread": UNREAD if n == 2 else None,
            "notes": ["Patient: the Patient ID differs."] if n == 2 else None,
            "patients": n if n < 3 else 1,
            "created_at": _at(10 * n),
        }


def _instances() -> Iterator[Row]:
    for revision, count in ((1, 2), (2, 3), (3, 1)):
        for n in range(count):
            uid = f"1.2.826.0.1.{max(1, revision - 1)}.1.{n}"
            yield {
                "revision_id": revision,
                "sop_instance_uid": uid,
                "series_instance_uid": uid.rpartition(".")[0],
                "digest": _digest(600 + n),
                "path": f"{_digest(1)[:16]}/{uid}.dcm",
                "header": HEADER_FACTS if n == 0 else None,
                "not_an_image": "a Structured Report" if n == 1 else None,
                "patient": 2 if (revision, n) == (2, 2) else 1,
            }


def _runs() -> Iterator[Row]:
    """One in every state; the last revision has been read once, the others more often."""
    for n, state in enumerate(RUN_STATES):
        yield {
            "id": _digest(700 + n),
            "revision_id": n % 3 + 1,
            "state": state,
            "reason": "the pixels of 1.2.3 can't be decoded" if state == "failed" else None,
            "created_at": _at(20 + n),
            "finished_at": _at(21.5 + n) if state in ENDED else None,
        }


def _image_scores() -> Iterator[Row]:
    for run in (701, 704):
        for n in range(2):
            yield {
                "run_id": _digest(run),
                "sop_instance_uid": f"1.2.826.0.1.1.1.{n}",
                "frame": 1,
                "task_version_id": 2,
                "score": 0.1 + n,
                "skipped": None,
                "box": [3, 5, 40, 50] if n else None,
            }
        yield {
            "run_id": _digest(run),
            "sop_instance_uid": "1.2.826.0.1.1.1.2",
            "frame": 1,
            "task_version_id": None,
            "score": None,
            "skipped": "a localizer",
            "box": None,
        }


def _verdicts() -> Iterator[Row]:
    values = (
        (704, 1, "normal", 0.25, 0.5, 0.75, 701),
        (704, 2, "abnormal", 1.1, 0.25, 0.75, None),
        (703, 2, "undetermined", None, None, None, None),
    )
    for run, version, verdict, score, p_value, operating_point, read_in in values:
        yield {
            "run_id": _digest(run),
            "task_version_id": version,
            "verdict": verdict,
            "score": score,
            "p_value": p_value,
            "operating_point": operating_point,
            "read_in_run_id": None if read_in is None else _digest(read_in),
        }


def _result_objects() -> Iterator[Row]:
    for n, (kind, sop_class) in enumerate(KINDS.items()):
        yield {
            "sop_instance_uid": f"2.25.{n + 1}",
            "run_id": _digest(704),
            "task_version_id": 2,
            "kind": kind,
            "sop_class_uid": sop_class,
            "series_instance_uid": f"2.25.{n + 1}0",
            "path": f"{_digest(704)}/{kind.lower()}.dcm",
            "digest": _digest(800 + n),
        }


def _deliveries(states: tuple[str, ...]) -> Iterator[Row]:
    for n, state in enumerate(states):
        yield {
            "sop_instance_uid": f"2.25.{n % len(KINDS) + 1}",
            "destination": f"pacs-{n}",
            "state": state,
            "attempts": n,
            "status": 0xA700 if state == "failed" else None if state == "pending" else 0,
            "comment": "out of resources" if state == "failed" else None,
            "updated_at": _at(30 + n),
            "transaction_uid": f"2.25.99{n}" if state == "confirmed" else None,
        }
