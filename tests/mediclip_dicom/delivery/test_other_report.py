"""A destination that takes no Comprehensive 3D SR gets the report as a class that it takes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from sqlalchemy.orm import Session, sessionmaker

from listener import FindQuery, Peer
from listener.errors import AssociationAbortedError, NoPresentationContextError
from mediclip_dicom.database import (
    Delivery,
    DeliveryState,
    ResultFile,
    Run,
    RunState,
    Study,
    StudyRevision,
)
from mediclip_dicom.delivery import Delivering, FindableResults
from mediclip_dicom.errors import DeliveryError
from mediclip_dicom.results import Device, ResultObject, other_report_uids, write_results
from mediclip_dicom.settings import DestinationSettings, Settings
from tests.factories import sources
from tests.factories.nodes import COMPREHENSIVE_3D_SR, SEGMENTATION
from tests.factories.readings import image_readings, make_reading
from tests.factories.rows import NOW, task_version
from tests.factories.servers import port_of, start_server
from tests.listener.conftest import dcmtk, free_port, wait_for

RUN = "b" * 64
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
ENHANCED = "1.2.840.10008.5.1.4.1.1.88.22"
DEVICE = Device(
    uid="2.25.314159",
    name="test node",
    manufacturer="mediclip-dicom",
    model="mediclip-dicom",
    serial="1",
    software_version="0.1.0",
)


class Delivered:
    """A run with report and Segmentation on disk, and a destination."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session], folder: Path) -> None:
        self._settings, self.sessions = settings, sessions
        reading = make_reading(image_readings(sources.mr_series(folder)[0]))
        objects = write_results(reading, device=DEVICE, directory=settings.storage.results / RUN)
        self.report, self.segmentation = (
            next(each for each in objects if each.kind == kind) for kind in ("SR", "SEG")
        )
        with sessions.begin() as session:
            revision = StudyRevision(
                study=Study(study_instance_uid=sources.STUDY_UID, first_seen_at=NOW),
                number=1,
                content_digest="0" * 64,
                created_at=NOW,
            )
            session.add(Run(id=RUN, revision=revision, state=RunState.WRITING, created_at=NOW))
            session.flush()
            for each in objects:
                session.add(self._row(session, each))

    def _row(self, session: Session, written: ResultObject) -> ResultFile:
        return ResultFile(
            sop_instance_uid=written.sop_instance_uid,
            run_id=RUN,
            task_version_id=task_version(session).id,
            kind=written.kind,
            sop_class_uid=written.sop_class_uid,
            series_instance_uid=written.series_instance_uid,
            path=str(written.path.relative_to(self._settings.storage.results)),
            digest=written.sha256,
        )

    def settings(self, port: int) -> Settings:
        destination = DestinationSettings(
            name="pacs", ae_title="PACS", host="127.0.0.1", port=port, results=("SR", "SEG")
        )
        return self._settings.model_copy(update={"destinations": (destination,)})

    def to(self, port: int) -> Delivering:
        return Delivering(self.settings(port), self.sessions)

    def rows(self) -> dict[str, DeliveryState]:
        with self.sessions() as session:
            return {row.sop_instance_uid: row.state for row in session.query(Delivery)}

    @property
    def other(self) -> dict[str, str]:
        return other_report_uids(self.report.sop_instance_uid)


@pytest.fixture
def run(settings: Settings, sessions: sessionmaker[Session], tmp_path: Path) -> Delivered:
    return Delivered(settings, sessions, tmp_path)


class Archive:
    def __init__(self) -> None:
        self.received: list[Dataset] = []
        self.associations = 0
        self.aborts = 0

    def on_request(self, _: evt.Event) -> None:
        self.associations += 1

    def on_store(self, event: evt.Event) -> int:
        if self.aborts:
            self.aborts -= 1
            event.assoc.abort()
            return 0x0000
        self.received.append(event.dataset)
        return 0x0000

    @property
    def classes(self) -> list[str]:
        return sorted(str(each.SOPClassUID) for each in self.received)


@contextmanager
def archive_of(sop_classes: Sequence[str]) -> Iterator[tuple[Archive, int]]:
    archive, ae = Archive(), AE("PACS")
    for sop_class in sop_classes:
        ae.add_supported_context(sop_class)
    server = start_server(
        ae,
        handlers=[(evt.EVT_C_STORE, archive.on_store), (evt.EVT_REQUESTED, archive.on_request)],
    )
    yield archive, port_of(server)
    server.shutdown()


@pytest.mark.parametrize(
    ("accepted", "sent"),
    [
        ([COMPREHENSIVE_3D_SR, COMPREHENSIVE, ENHANCED], COMPREHENSIVE_3D_SR),
        ([COMPREHENSIVE, ENHANCED], COMPREHENSIVE),
        ([ENHANCED], ENHANCED),
    ],
)
def test_the_best_class_that_is_accepted_is_sent_over_one_association(
    accepted: list[str], sent: str, run: Delivered
) -> None:
    with archive_of([SEGMENTATION, *accepted]) as (archive, port):
        steps = run.to(port)
        assert steps.plan_deliveries(RUN) == ["pacs"]
        steps.deliver(RUN, "pacs")
        steps.deliver(RUN, "pacs")
        steps.finish(RUN)
    assert archive.classes == sorted([SEGMENTATION, sent])
    assert archive.associations == 1
    uid = run.other.get(sent, run.report.sop_instance_uid)
    assert run.rows() == {
        run.segmentation.sop_instance_uid: DeliveryState.DELIVERED,
        uid: DeliveryState.DELIVERED,
    }
    with run.sessions() as session:
        assert session.get_one(Run, RUN).state is RunState.DONE
        row = session.get_one(ResultFile, uid)
        path = run.settings(1).storage.results / row.path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row.digest
        assert dcmread(path).SOPClassUID == row.sop_class_uid == sent


def test_the_choice_is_kept_when_the_association_breaks_and_steps_are_repeated(
    run: Delivered,
) -> None:
    with archive_of([SEGMENTATION, COMPREHENSIVE_3D_SR, COMPREHENSIVE]) as (_, port):
        pass
    with archive_of([COMPREHENSIVE]) as (archive, port):
        archive.aborts = 1
        steps = run.to(port)
        steps.plan_deliveries(RUN)
        with pytest.raises((AssociationAbortedError, DeliveryError)):
            steps.deliver(RUN, "pacs")
        # A repeat after a crash plans again.
        steps.plan_deliveries(RUN)
        assert run.report.sop_instance_uid not in run.rows()
    with archive_of([SEGMENTATION, COMPREHENSIVE_3D_SR, COMPREHENSIVE]) as (archive, port):
        run.to(port).deliver(RUN, "pacs")
        assert COMPREHENSIVE in archive.classes
        assert COMPREHENSIVE_3D_SR not in archive.classes


def test_a_destination_that_takes_no_report_is_told_as_before(run: Delivered) -> None:
    with archive_of([SEGMENTATION]) as (archive, port):
        steps = run.to(port)
        steps.plan_deliveries(RUN)
        with pytest.raises(DeliveryError, match="refused 1 of 2"):
            steps.deliver(RUN, "pacs")
    assert run.rows()[run.report.sop_instance_uid] is DeliveryState.FAILED
    assert archive.classes == [SEGMENTATION]


def test_a_destination_that_takes_nothing_is_told_as_before(run: Delivered) -> None:
    with archive_of(["1.2.840.10008.1.1"]) as (_, port):
        steps = run.to(port)
        steps.plan_deliveries(RUN)
        with pytest.raises(NoPresentationContextError):
            steps.deliver(RUN, "pacs")
    assert run.rows()[run.report.sop_instance_uid] is DeliveryState.FAILED


def test_a_query_names_the_destination_that_has_the_other_report(
    run: Delivered, tmp_path: Path
) -> None:
    with archive_of([SEGMENTATION, ENHANCED]) as (_, port):
        steps = run.to(port)
        steps.plan_deliveries(RUN)
        steps.deliver(RUN, "pacs")
    settings = run.settings(port)
    database = settings.database.model_copy(update={"url": f"sqlite:///{tmp_path}/tasks.sqlite"})
    findable = FindableResults(settings.model_copy(update={"database": database}))
    found = {
        str(each.SOPInstanceUID): each.RetrieveAETitle for each in findable(FindQuery("IMAGE", {}))
    }
    assert found[run.other[ENHANCED]] == "PACS"
    assert not found[run.report.sop_instance_uid]


PROFILE = """[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Old]
PresentationContext1 = VerificationSOPClass\\Plain
PresentationContext2 = 1.2.840.10008.5.1.4.1.1.66.4\\Plain
PresentationContext3 = {sop_class}\\Plain
[[Profiles]]
[Old]
PresentationContexts = Old
"""


@pytest.mark.parametrize("sop_class", [COMPREHENSIVE, ENHANCED])
def test_dcmtks_storescp_without_comprehensive_3d_sr_gets_a_report_that_it_can_read(
    sop_class: str, run: Delivered, tmp_path: Path
) -> None:
    port, folder = free_port(), tmp_path / "kept"
    folder.mkdir()
    profile = tmp_path / "profile.cfg"
    profile.write_text(PROFILE.format(sop_class=sop_class))
    command = [dcmtk("storescp"), "-xf", str(profile), "Old", "-od", str(folder), str(port)]
    process = subprocess.Popen(command)
    try:
        wait_for(Peer("PACS", "127.0.0.1", port), process)
        steps = run.to(port)
        steps.plan_deliveries(RUN)
        steps.deliver(RUN, "pacs")
    finally:
        process.terminate()
        process.wait(timeout=60)
    kept = {str(dcmread(path).SOPClassUID): path for path in folder.iterdir()}
    assert kept.keys() == {SEGMENTATION, sop_class}
    shown = subprocess.run(
        [dcmtk("dsrdump"), str(kept[sop_class])], capture_output=True, text=True, check=True
    )
    assert "Abnormal" in shown.stdout
    assert "E:" not in shown.stderr
