"""The node in this process: real associations in, real associations out, a real database."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone, WeightsMismatchError
from listener import Peer, StoreCategory, find, store
from listener.errors import NoPresentationContextError
from mediclip_dicom.database import (
    DeliveryState,
    Run,
    RunState,
    Study,
    StudyRevision,
    TaskVersion,
    open_database,
)
from mediclip_dicom.engine import workflows as engine
from mediclip_dicom.errors import DatabaseError, NodeStartError, TaskError
from mediclip_dicom.node import Node
from mediclip_dicom.settings import DestinationSettings, PeerSettings, Settings
from mediclip_dicom.studies.intake import Intake
from tests.conftest import wait_until
from tests.factories import sources
from tests.factories.studies import (
    BIRTH_DATE,
    PATIENT_ID,
    PATIENT_NAME,
    mr_study,
    study_uid,
)
from tests.mediclip_dicom.conftest import TASK, FittedTask, settings_in, with_task

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"

COUNTS = """
import resource
import torch
from mediclip_dicom.settings.settings import BackboneSettings
from mediclip_dicom.tasks import open_backbone

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**23)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
open_backbone(BackboneSettings(model="untrained", weights="untrained", device="cpu"))
faults()
print(plain, faults())
"""


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
        self._server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._keep)]
        )
        self.port = int(self._server.socket.getsockname()[1])

    def _keep(self, event: Event) -> int:
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        with self._lock:
            self.received.append(dataset)
        return 0x0000


@pytest.fixture(autouse=True, scope="module")
def _quick_queues() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "POLLING_INTERVAL_S", 0.1)
        yield


@dataclass(frozen=True)
class Site:
    """A running node, its destination and its database."""

    node: Node
    archive: Destination
    sessions: sessionmaker[Session]


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, fitted_task: FittedTask, backbone: Backbone
) -> Iterator[Site]:
    """One node for all tests that send it studies of their own."""
    settings = with_task(settings_in(tmp_path_factory.mktemp("site")), fitted_task)
    ward = PeerSettings(name="ward", ae_title="WARD", may=("find",))
    settings = settings.model_copy(update={"peers": (*settings.peers, ward)})
    archive = Destination()
    try:
        with Node(archive.added_to(settings), backbone=backbone) as node:
            yield Site(node, archive, open_database(settings.database_url))
    finally:
        archive.stop()


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


@contextmanager
def noticing_gatherings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The studies whose gathering came to its end, to know when nothing more will happen."""
    ended: list[str] = []
    route = Intake.route

    def noticed(self: Intake, revision_id: int) -> str:
        run_id = route(self, revision_id)
        ended.append(run_id)
        return run_id

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "route", noticed)
        yield ended


@dataclass(frozen=True)
class Answered:
    """Studies that the site has answered, each for one test: images sent, images held back."""

    again: list[Path]
    early: list[Path]
    late: Path
    flagged: list[Path]


@pytest.fixture(scope="module")
def answered(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("answered")
    *early, late = mr_study(folder, 23)
    studies = Answered(mr_study(folder, 22), early, late, mr_study(folder, 24, lesion=True))
    send(site.node, [*studies.again, *studies.early, *studies.flagged])
    for number in (22, 23, 24):
        wait_until(lambda n=number: is_finished(site.sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
    return studies


def test_studies_come_back_with_a_report_and_a_segmentation_where_they_are_flagged(
    site: Site,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    normal, abnormal = mr_study(tmp_path, 20), mr_study(tmp_path, 21, lesion=True)
    send(site.node, [*normal, *abnormal])
    for number in (20, 21):
        wait_until(lambda n=number: is_finished(site.sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
    with site.sessions() as session:
        for number in (20, 21):
            (run,) = runs_of(session, study_uid(number))
            (verdict,) = run.verdicts
            assert run.state is RunState.DONE
            assert len([row for row in run.image_scores if row.score is not None]) == 3
            flagged = verdict.verdict == "abnormal"
            assert flagged == (verdict.score > verdict.operating_point)
            assert sorted(r.kind for r in run.results) == (["SEG", "SR"] if flagged else ["SR"])
            deliveries = [delivery for result in run.results for delivery in result.deliveries]
            assert {(d.state, d.attempts) for d in deliveries} == {(DeliveryState.DELIVERED, 1)}
            kept = {r.sop_instance_uid for r in run.results}
            returned = site.archive.of_study(study_uid(number))
            assert {str(dataset.SOPInstanceUID) for dataset in returned} == kept
            assert {str(dataset.PatientID) for dataset in returned} == {PATIENT_ID}
        (run,) = runs_of(session, study_uid(21))
        assert run.verdicts[0].verdict == "abnormal"
    log = capfd.readouterr()
    assert "study read" in log.out + log.err
    for secret in (PATIENT_NAME, PATIENT_ID, BIRTH_DATE):
        assert secret not in log.out + log.err


def test_a_peer_that_may_finds_the_results_and_where_they_went(
    site: Site, answered: Answered
) -> None:
    keys = {"StudyInstanceUID": study_uid(24)}
    ward = replace(peer_of(site.node), calling_ae_title="WARD")
    (study,) = find(ward, "STUDY", {"PatientID": PATIENT_ID, **keys}, return_keys=["PatientName"])
    assert str(study.PatientName) == PATIENT_NAME
    series = find(ward, "SERIES", keys)
    assert sorted((str(s.Modality), str(s.RetrieveAETitle)) for s in series) == [
        ("SEG", "ARCHIVE"),
        ("SR", "ARCHIVE"),
    ]
    (report,) = [s for s in series if s.Modality == "SR"]
    keys["SeriesInstanceUID"] = str(report.SeriesInstanceUID)
    (image,) = find(ward, "IMAGE", keys)
    assert image.SOPClassUID == COMPREHENSIVE_3D_SR
    assert find(ward, "STUDY", {"StudyInstanceUID": "1.2.3"}) == ()
    with pytest.raises(NoPresentationContextError):
        find(peer_of(site.node), "STUDY", {})


def test_a_study_that_no_task_reads_is_written_down_and_is_no_error(
    site: Site, tmp_path: Path
) -> None:
    send(site.node, [sources.computed_radiograph(tmp_path)])
    wait_until(lambda: is_finished(site.sessions, sources.STUDY_UID), "the study")
    with site.sessions() as session:
        (run,) = runs_of(session, sources.STUDY_UID)
        assert run.state is RunState.NO_TASK
        assert run.reason == "no task reads its images (CR)"
        assert [(row.score, row.skipped) for row in run.image_scores] == [(None, "no task")]
    assert site.archive.of_study(sources.STUDY_UID) == []


def test_the_same_study_twice_is_read_once(
    site: Site, answered: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = len(site.archive.of_study(study_uid(22)))
    assert results >= 1
    with noticing_gatherings(monkeypatch) as gathered:
        send(site.node, answered.again)
        wait_until(lambda: len(gathered) >= 1, "the second gathering")
    with site.sessions() as session:
        (run,) = runs_of(session, study_uid(22))
        assert gathered == [run.id]
        assert run.revision.number == 1
        assert run.state is RunState.DONE
    assert len(site.archive.of_study(study_uid(22))) == results


def test_a_slice_that_comes_late_makes_a_second_revision(site: Site, answered: Answered) -> None:
    send(site.node, [answered.late])
    wait_until(lambda: is_finished(site.sessions, study_uid(23), runs=2), "the second answer")
    with site.sessions() as session:
        first, second = runs_of(session, study_uid(23))
        assert (first.revision.number, second.revision.number) == (1, 2)
        assert (len(first.image_scores), len(second.image_scores)) == (2, 3)
    reports = [d for d in site.archive.of_study(study_uid(23)) if d.Modality == "SR"]
    assert len({report.SOPInstanceUID for report in reports}) == 2
    named = [
        (str(study.StudyInstanceUID), str(instance.ReferencedSOPInstanceUID))
        for report in reports
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert named == [(study_uid(23), str(reports[0].SOPInstanceUID))]


def test_our_own_results_that_come_back_to_us_are_not_read_again(
    site: Site, answered: Answered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PACS that forwards whatever it stores must not make the two answer each other forever."""
    answer = site.archive.save(study_uid(24), tmp_path)
    returned = site.archive.of_study(study_uid(24))
    assert sorted(str(dataset.Modality) for dataset in returned) == ["SEG", "SR"]
    with noticing_gatherings(monkeypatch) as gathered:
        outcomes = store(peer_of(site.node), [*answered.flagged, *answer])
        wait_until(lambda: len(gathered) >= 1, "the second gathering")
    assert [outcome.category for outcome in outcomes] == [
        *[StoreCategory.SUCCESS] * len(answered.flagged),
        *[StoreCategory.REFUSED] * len(answer),
    ]
    with site.sessions() as session:
        (run,) = runs_of(session, study_uid(24))
        assert gathered == [run.id]
        assert run.revision.number == 1
    assert len(site.archive.of_study(study_uid(24))) == len(answer)


def test_a_destination_that_is_away_gets_its_results_when_it_is_back(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    archive = Destination()
    delivery = node_settings.delivery.model_copy(update={"first_retry_s": 0.2, "backoff": 1.0})
    settings = archive.added_to(node_settings).model_copy(update={"delivery": delivery})

    def attempts() -> int:
        with fitted_sessions() as session:
            results = [r for run in runs_of(session, study_uid(25)) for r in run.results]
            return max((d.attempts for r in results for d in r.deliveries), default=0)

    with Node(settings, backbone=backbone) as node:
        with archive.away():
            send(node, mr_study(tmp_path, 25))
            wait_until(lambda: attempts() >= 1, "a failed attempt")
            with fitted_sessions() as session:
                (run,) = runs_of(session, study_uid(25))
                assert run.state is RunState.DELIVERING
        wait_until(lambda: is_finished(fitted_sessions, study_uid(25)), "the delivery")
    with fitted_sessions() as session:
        (run,) = runs_of(session, study_uid(25))
        assert run.state is RunState.DONE
        assert len(archive.received) == len(run.results)
    archive.stop()


def test_a_node_whose_port_is_taken_says_so_and_leaves_nothing_running(
    node_settings: Settings, backbone: Backbone
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        blocked = node_settings.model_copy(
            update={"node": node_settings.node.model_copy(update={"port": port})}
        )
        before = set(threading.enumerate())
        with pytest.raises(NodeStartError, match=rf"127\.0\.0\.1:{port}.*in use"):
            Node(blocked, backbone=backbone).start()
    left = [t for t in set(threading.enumerate()) - before if t.is_alive() and not t.daemon]
    assert left == []


def test_the_node_does_not_start_on_a_backbone_that_fitted_none_of_its_tasks(
    node_settings: Settings, fitted_sessions: sessionmaker[Session], backbone: Backbone
) -> None:
    with fitted_sessions.begin() as session:
        session.execute(update(TaskVersion).values(backbone_sha256="0" * 64))
    with pytest.raises(TaskError, match=f"did not fit these tasks: {TASK} version 1"):
        Node(node_settings, backbone=backbone)


def test_the_node_does_not_start_on_other_blocks_than_its_tasks_were_fitted_on(
    node_settings: Settings,
) -> None:
    """The backbone's digest is of its weights, and the same whichever blocks are tapped."""
    blocks = node_settings.backbone.model_copy(update={"blocks": (1, 2, 4)})
    with pytest.raises(WeightsMismatchError, match="blocks"):
        Node(node_settings.model_copy(update={"backbone": blocks}))


def test_a_workflow_database_that_cannot_be_used_is_named_without_its_password(
    node_settings: Settings, backbone: Backbone
) -> None:
    url = "postgresql+psycopg://node:hunter2@127.0.0.1:1/workflows"
    database = node_settings.database.model_copy(update={"workflow_url": url})
    with pytest.raises(DatabaseError, match="workflow_url") as caught:
        Node(node_settings.model_copy(update={"database": database}), backbone=backbone).start()
    assert "127.0.0.1:1/workflows" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_results_lie_on_disk_where_there_is_no_destination(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    with Node(node_settings, backbone=backbone) as node:
        send(node, mr_study(tmp_path, 26))
        wait_until(lambda: is_finished(fitted_sessions, study_uid(26)), "the answer")
    with open_database(node_settings.database_url)() as session:
        (run,) = runs_of(session, study_uid(26))
        files = [node_settings.storage.results / result.path for result in run.results]
    assert "SR" in {str(dcmread(file).Modality) for file in files}


def test_a_process_that_opened_the_backbone_uses_freed_memory_again() -> None:
    if not (sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")):
        pytest.skip("this C library has no mallopt")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", COUNTS]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    plain, kept = found.stdout.split()[-2:]
    assert int(kept) < int(plain) / 10


def test_a_node_that_receives_in_two_processes_answers_each_study_once(
    tmp_path: Path, fitted_task: FittedTask, backbone: Backbone
) -> None:
    settings = with_task(settings_in(tmp_path), fitted_task)
    node_settings = settings.node.model_copy(update={"processes": 2})
    finder = settings.peers[0].model_copy(update={"may": ("store", "find")})
    settings = settings.model_copy(update={"node": node_settings, "peers": (finder,)})
    sessions = open_database(settings.database_url)
    with Node(settings, backbone=backbone) as node:
        for number in (71, 72):
            send(node, mr_study(tmp_path, number))
        for number in (71, 72):
            wait_until(lambda n=number: is_finished(sessions, study_uid(n)), f"study {number}")  # type: ignore[misc]
        for _ in range(6):  # either process is asked, most likely
            series = find(peer_of(node), "SERIES", {"StudyInstanceUID": study_uid(71)})
            assert "SR" in [found.Modality for found in series]
    with sessions() as session:
        for number in (71, 72):
            (run,) = runs_of(session, study_uid(number))
            assert run.state is RunState.DONE
