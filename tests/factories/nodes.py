"""A node's neighbours: an archive that takes results, senders, and looks into its database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from listener import Peer, StoreCategory, store
from mediclip_dicom.database import Run, RunState, Study, StudyRevision
from mediclip_dicom.node import Node
from mediclip_dicom.settings import DestinationSettings, Settings
from tests.factories.servers import port_of, start_server

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"


class Destination:
    """A Storage SCP on loopback that keeps what it is given; it may be away for a while."""

    def __init__(self) -> None:
        self.received: list[Dataset] = []
        self._lock = threading.Lock()
        self.port = 0
        self._start()

    def of_study(self, uid: str) -> list[Dataset]:
        with self._lock:
            return [dataset for dataset in self.received if dataset.StudyInstanceUID == uid]

    def save(self, uid: str, folder: Path) -> list[Path]:
        """What came back of a study, as files to be sent again."""
        paths = []
        for dataset in self.of_study(uid):
            path = folder / f"{dataset.SOPInstanceUID}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    def added_to(self, settings: Settings) -> Settings:
        destination = DestinationSettings(
            name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=self.port
        )
        return settings.model_copy(update={"destinations": (destination,)})

    @contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self._start()

    def stop(self) -> None:
        self._server.shutdown()

    def _start(self) -> None:
        ae = AE("ARCHIVE")
        for sop_class in (SEGMENTATION, COMPREHENSIVE_3D_SR):
            ae.add_supported_context(sop_class)
        self._server = start_server(ae, [(evt.EVT_C_STORE, self._keep)], port=self.port)
        self.port = port_of(self._server)

    def _keep(self, event: Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        with self._lock:
            self.received.append(dataset)
        return 0x0000


def peer_of(node: Node) -> Peer:
    return Peer("MEDICLIP", "127.0.0.1", node.port, calling_ae_title="MODALITY")


def send(node: Node, paths: list[Path]) -> None:
    outcomes = store(peer_of(node), paths)
    assert [outcome.category for outcome in outcomes] == [StoreCategory.SUCCESS] * len(paths)


def runs_of(session: Session, uid: str) -> list[Run]:
    return list(
        session.scalars(
            select(Run)
            .join(StudyRevision)
            .join(Study)
            .where(Study.study_instance_uid == uid)
            .order_by(StudyRevision.number)
        )
    )


def is_finished(sessions: sessionmaker[Session], uid: str, *, runs: int = 1) -> bool:
    with sessions() as session:
        found = runs_of(session, uid)
        return len(found) >= runs and all(
            run.state in (RunState.DONE, RunState.NO_TASK, RunState.FAILED) for run in found
        )
