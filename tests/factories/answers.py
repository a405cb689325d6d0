"""Answers of a node to studies that are sent to it: verdicts, and the report on the last one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import Run, RunState
from mediclip_dicom.node import Node
from mediclip_dicom.settings import Settings
from tests.conftest import wait_until
from tests.factories.nodes import Destination, is_finished, runs_of, send


def newest_report(archive: Destination, uid: str) -> Dataset:
    return [dataset for dataset in archive.of_study(uid) if dataset.Modality == "SR"][-1]


def comments_of(report: Dataset) -> list[str]:
    """The report's sentences, at whatever depth."""
    found: list[str] = []
    for item in report.get("ContentSequence") or ():
        if item.ValueType == "TEXT":
            found.append(str(item.TextValue))
        found += comments_of(item)
    return found


def wait_for(sessions: sessionmaker[Session], uid: str, runs: int = 1) -> None:
    wait_until(lambda: is_finished(sessions, uid, runs=runs), f"run {runs}")


@dataclass(frozen=True)
class Sent:
    """What a node has answered: verdict and report after each association."""

    verdicts: list[str]
    report: Dataset
    returned: list[Dataset]
    skipped: dict[str, int]


def sent(
    settings: Settings,
    sessions: sessionmaker[Session],
    backbone: Backbone,
    archive: Destination,
    uid: str,
    *associations: list[Path],
    restart: bool = False,
) -> Sent:
    """Send a study in several associations, with a restart of the node between them if asked."""
    with_archive = archive.added_to(settings)
    batches = [[batch] for batch in associations] if restart else [list(associations)]
    done = 0
    for batch in batches:
        with Node(with_archive, backbone=backbone) as node:
            for paths in batch:
                done += 1
                send(node, paths)
                wait_for(sessions, uid, done)
    with sessions() as session:
        runs = runs_of(session, uid)
        assert {run.state for run in runs} == {RunState.DONE}
        verdicts = [verdict.verdict for run in runs for verdict in run.verdicts]
        skipped = _skipped(runs[-1])
    return Sent(verdicts, newest_report(archive, uid), archive.of_study(uid), skipped)


def _skipped(run: Run) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in run.image_scores:
        if row.skipped:
            found[row.skipped] = found.get(row.skipped, 0) + 1
    return found
