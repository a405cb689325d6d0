"""What a monitor sees: numbers that add up, and whether the node does its work."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session, sessionmaker

from listener import (
    AllowedPeer,
    ListenerError,
    ListenerSettings,
    Peer,
    Space,
    Spool,
    StorageSCP,
    echo,
    store,
)
from mediclip_dicom.cli.demo.pacs import free_port
from mediclip_dicom.database import Run, RunState, Study, StudyRevision, open_database
from mediclip_dicom.node import Monitor
from mediclip_dicom.settings import MonitoringSettings, Settings
from tests.factories.rows import NOW
from tests.factories.studies import mr_study


@dataclass
class Site:
    scp: StorageSCP
    port: int
    space: list[Space]
    sessions: sessionmaker[Session]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def site(settings: Settings, tmp_path: Path) -> Iterator[Site]:
    space = [Space(free=10**10, total=10**11)]
    sessions = open_database(settings.database_url)
    port = free_port()
    listener = ListenerSettings("NODE", port=0, peers=(AllowedPeer("ct1", "CT1"),))
    with (
        Spool(tmp_path / "spool", measure=lambda _: space[0]) as spool,
        StorageSCP(listener, spool) as scp,
    ):
        monitor = Monitor(
            MonitoringSettings(port=port), listener=scp, spool=spool, sessions=sessions
        )
        monitor.start()
        yield Site(scp, port, space, sessions)
        monitor.stop()


def test_what_happened_on_the_network_is_counted_by_reason(site: Site, tmp_path: Path) -> None:
    paths = mr_study(tmp_path, 81)
    store(Peer("NODE", "127.0.0.1", site.scp.port, calling_ae_title="CT1"), [*paths, paths[0]])
    with pytest.raises(ListenerError):
        echo(Peer("NODE", "127.0.0.1", site.scp.port, calling_ae_title="STRANGER"))
    samples = site.samples()
    assert samples["mediclip_associations_total",] == 1
    assert samples["mediclip_associations_rejected_total", "calling_ae"] == 1
    assert samples["mediclip_associations_rejected_total", "disk_low"] == 0
    assert samples["mediclip_instances_total", "stored"] == len(paths)
    assert samples["mediclip_instances_total", "duplicate"] == 1
    assert samples["mediclip_received_bytes_total",] > 1000
    assert samples["mediclip_spool_free_bytes",] == 10**10


def test_runs_that_wait_are_counted_with_the_age_of_the_oldest(site: Site) -> None:
    with site.sessions.begin() as session:
        revision = StudyRevision(
            study=Study(study_instance_uid="1.2.3", first_seen_at=NOW),
            number=1,
            content_digest="0" * 64,
            created_at=NOW,
        )
        session.add(Run(id="r", revision=revision, state=RunState.QUEUED, created_at=NOW))
    samples = site.samples()
    assert samples["mediclip_runs", "queued"] == 1
    assert samples["mediclip_runs", "done"] == 0
    assert samples["mediclip_oldest_waiting_run_seconds",] != 0


def test_a_node_that_works_answers_200_and_one_that_does_not_503_with_the_reason(
    site: Site,
) -> None:
    assert site.get("/health") == (
        200,
        json.dumps({"status": "ok", "listening": True, "database": True, "disk": True}) + "\n",
    )
    site.space[0] = Space(free=1, total=10**11)
    status, said = site.get("/health")
    assert status == 503
    assert not json.loads(said)["disk"]
    assert site.samples()["mediclip_disk_low",] == 1
    site.space[0] = Space(free=10**10, total=10**11)
    site.scp.stop()
    status, said = site.get("/health")
    assert status == 503
    assert not json.loads(said)["listening"]


def test_a_monitor_answers_where_it_is_told_and_ends_when_it_is_stopped(
    settings: Settings, tmp_path: Path
) -> None:
    sessions = open_database(settings.database_url)
    before = set(threading.enumerate())
    with Spool(tmp_path / "spool") as spool:
        scp = StorageSCP(ListenerSettings("NODE", port=0), spool)
        where = MonitoringSettings(host="127.0.0.1", port=free_port())
        monitor = Monitor(where, listener=scp, spool=spool, sessions=sessions)
        second = Monitor(where, listener=scp, spool=spool, sessions=sessions)
        for _ in range(2):
            monitor.start()
            with pytest.raises(OSError, match="in use"):
                second.start()
            with socket.create_connection((where.host, where.port)) as connection:
                assert connection.getpeername() == (where.host, where.port)
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: node\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 503")
                monitor.stop()  # while a client still holds its connection
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((where.host, where.port))
    left = {thread for thread in set(threading.enumerate()) - before if thread.name == "monitoring"}
    assert left == set()


def test_another_path_is_told_which_there_are(site: Site) -> None:
    status, said = site.get("/")
    assert status == 404
    assert "/metrics or /health" in said
