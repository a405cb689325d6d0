"""Several destinations, and several studies for one: none keeps another from its results."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import AE, evt
from pynetdicom.events import Event
from sqlalchemy.orm import Session, sessionmaker

from ai_core import Backbone
from mediclip_dicom.database import DeliveryState
from mediclip_dicom.engine import cancel
from mediclip_dicom.engine import workflows as engine
from mediclip_dicom.node import Node, configure_logging
from mediclip_dicom.settings import DestinationSettings, LoggingSettings, Settings
from tests.conftest import WAIT_LIMIT_S, wait_until
from tests.factories.archives import CommittingArchive
from tests.factories.nodes import (
    COMPREHENSIVE_3D_SR,
    SEGMENTATION,
    runs_of,
    send,
)
from tests.factories.servers import port_of, start_server
from tests.factories.studies import (
    BIRTH_DATE,
    PATIENT_ID,
    PATIENT_NAME,
    mr_study,
    study_uid,
)


class Destination:
    """Answers C-STORE as a function of the study says."""

    def __init__(self, name: str, answer: Callable[[str], int]) -> None:
        self.name = name
        self._answer = answer
        ae = AE(name.upper())
        for sop_class in (SEGMENTATION, COMPREHENSIVE_3D_SR):
            ae.add_supported_context(sop_class)
        self.server = start_server(ae, [(evt.EVT_C_STORE, self._store)])

    @property
    def settings(self) -> DestinationSettings:
        return DestinationSettings(
            name=self.name,
            ae_title=self.name.upper(),
            host="127.0.0.1",
            port=port_of(self.server),
        )

    def _store(self, event: Event) -> int:
        return self._answer(str(event.dataset.StudyInstanceUID))


@pytest.fixture
def start_destination() -> Iterator[Callable[..., Destination]]:
    started: list[Destination] = []

    def start(name: str, answer: Callable[[str], int]) -> Destination:
        started.append(Destination(name, answer))
        return started[-1]

    yield start
    for destination in started:
        destination.server.shutdown()


@pytest.fixture(autouse=True)
def _quick_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "POLLING_INTERVAL_S", 0.1)


def states(
    sessions: sessionmaker[Session], number: int, destination: str | None = None
) -> set[DeliveryState]:
    with sessions() as session:
        return {
            delivery.state
            for run in runs_of(session, study_uid(number))
            for result in run.results
            for delivery in result.deliveries
            if destination in (None, delivery.destination)
        }


def test_a_destination_that_hangs_keeps_no_other_from_its_results(
    start_destination: Callable[..., Destination],
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    hanging, go_on = threading.Event(), threading.Event()

    def hang(_: str) -> int:
        hanging.set()
        go_on.wait()
        return 0x0000

    stuck = start_destination("stuck", hang)
    well = start_destination("well", lambda _: 0x0000)
    settings = node_settings.model_copy(update={"destinations": (stuck.settings, well.settings)})
    with Node(settings, backbone=backbone) as node:
        try:
            send(node, mr_study(tmp_path, 91))
            assert hanging.wait(WAIT_LIMIT_S), (
                "the first study never reached the destination that hangs"
            )
            numbers = range(92, 92 + settings.delivery.concurrent_studies + 1)
            for number in numbers:
                send(node, mr_study(tmp_path, number))
            for number in (91, *numbers):
                wait_until(
                    lambda n=number: (  # type: ignore[misc]
                        states(fitted_sessions, n, "well") == {DeliveryState.DELIVERED}
                    ),
                    f"study {number} at the destination that works",
                )
                assert states(fitted_sessions, number, "stuck") == {DeliveryState.PENDING}
        finally:
            go_on.set()
        for number in (91, *numbers):
            wait_until(
                lambda n=number: states(fitted_sessions, n) == {DeliveryState.DELIVERED},  # type: ignore[misc]
                f"study {number} at the other",
            )


def test_a_study_that_is_refused_for_now_keeps_no_other_study_from_the_destination(
    start_destination: Callable[..., Destination],
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
) -> None:
    pacs = start_destination("pacs", lambda uid: 0x0110 if uid == study_uid(95) else 0x0000)
    delivery = node_settings.delivery.model_copy(
        update={"concurrent_studies": 1, "first_retry_s": 3600.0}
    )
    settings = node_settings.model_copy(
        update={"destinations": (pacs.settings,), "delivery": delivery}
    )

    def attempts() -> int:
        with fitted_sessions() as session:
            results = [r for run in runs_of(session, study_uid(95)) for r in run.results]
            return max((d.attempts for r in results for d in r.deliveries), default=0)

    with Node(settings, backbone=backbone) as node:
        send(node, mr_study(tmp_path, 95))
        wait_until(lambda: attempts() == 1, "the first attempt")
        send(node, mr_study(tmp_path, 96))
        wait_until(
            lambda: states(fitted_sessions, 96) == {DeliveryState.DELIVERED}, "the other study"
        )
        assert states(fitted_sessions, 95) == {DeliveryState.PENDING}
        with fitted_sessions() as session:
            (run,) = runs_of(session, study_uid(95))
        cancel(settings, fitted_sessions, run=run.id, destination="pacs")
        assert states(fitted_sessions, 95) == {DeliveryState.CANCELLED}


def test_one_search_of_the_log_follows_a_study_from_its_association_to_its_confirmation(
    node_settings: Settings,
    backbone: Backbone,
    fitted_sessions: sessionmaker[Session],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    configure_logging(LoggingSettings(format="json"))
    archive = CommittingArchive()
    with Node(archive.settings(node_settings), backbone=backbone) as node:
        archive.node_port = node.port
        # What is no date and no number makes libraries complain, with the value.
        secrets: dict[str, Any] = {"StudyID": "no-sh-VR-" + "x" * 20, "PatientAge": "Methuselah"}
        send(node, mr_study(tmp_path, 97, lesion=True, **secrets))
        wait_until(
            lambda: states(fitted_sessions, 97) == {DeliveryState.CONFIRMED}, "the confirmation"
        )
    archive.server.shutdown()
    text = "".join(capfd.readouterr())
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    found = [event for event in events if study_uid(97) in json.dumps(event)]
    said = [event["event"] for event in found]
    for event in (
        "study.arriving",
        "association.released",
        "study.gathered",
        "study.routed",
        "study.read",
        "results.delivered",
        "commitment.asked",
        "results.confirmed",
    ):
        assert event in said, said
    run_ids = {event["run_id"] for event in found if "run_id" in event}
    with fitted_sessions() as session:
        assert run_ids == {run.id for run in runs_of(session, study_uid(97))}

    (released,) = [event for event in found if event["event"] == "association.released"]
    of_association = [
        event["event"] for event in events if event.get("association") == released["association"]
    ]
    assert of_association[0] == "association.accepted"
    assert of_association[-1] == "association.released"

    for secret in (PATIENT_NAME, PATIENT_ID, BIRTH_DATE, *secrets.values()):
        assert secret not in text
