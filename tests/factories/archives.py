"""Archives on loopback that answer as a test tells them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from listener import CommitmentReport, Peer, decode_report, send_report
from mediclip_dicom.settings import DestinationSettings, Settings
from tests.factories.nodes import (
    COMPREHENSIVE_3D_SR,
    SEGMENTATION,
)
from tests.factories.servers import port_of, start_server
from tests.factories.sources import CT

COMMITMENT = "1.2.840.10008.1.20.1"


class CommittingArchive:
    """A destination that answers as it is told, and reports commitment by a call of its own."""

    def __init__(self) -> None:
        self.status = 0x0000
        self.node_port = 0
        self.asked: list[CommitmentReport] = []
        ae = AE("ARCHIVE")
        for sop_class in (SEGMENTATION, COMPREHENSIVE_3D_SR, COMMITMENT):
            ae.add_supported_context(sop_class)
        self.server = start_server(
            ae,
            [(evt.EVT_C_STORE, lambda _: self.status), (evt.EVT_N_ACTION, self._on_action)],
        )

    def settings(self, settings: Settings) -> Settings:
        destination = DestinationSettings(
            name="archive",
            ae_title="ARCHIVE",
            host="127.0.0.1",
            port=port_of(self.server),
            commitment=True,
        )
        # One attempt, and no second one while a test looks at the first.
        delivery = settings.delivery.model_copy(update={"first_retry_s": 3600.0})
        return settings.model_copy(update={"destinations": (destination,), "delivery": delivery})

    def _on_action(self, event: Event) -> tuple[int, None]:
        asked = decode_report(event.action_information)
        self.asked.append(asked)
        threading.Thread(target=self.report, args=(asked,)).start()
        return 0x0000, None

    def report(self, report: CommitmentReport) -> None:
        send_report(
            Peer("MEDICLIP", "127.0.0.1", self.node_port, calling_ae_title="ARCHIVE"), report
        )


class ScriptedArchive:
    """A destination that gives each C-STORE the next answer; None aborts."""

    def __init__(self) -> None:
        self.answers: list[int | None] = []
        self.associations: list[list[str]] = []
        self.before_answer: Callable[[], None] = lambda: None

    def __enter__(self) -> ScriptedArchive:
        ae = AE("ARCHIVE")
        ae.add_supported_context(CT)
        self._server = start_server(
            ae,
            [
                (evt.EVT_REQUESTED, lambda _: self.associations.append([])),
                (evt.EVT_C_STORE, self._answer),
            ],
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()

    @property
    def port(self) -> int:
        return port_of(self._server)

    def _answer(self, event: Event) -> int:
        self.before_answer()
        status = self.answers.pop(0) if self.answers else 0x0000
        if status is None:
            event.assoc.abort()
            return 0x0000
        assert isinstance(event.request, C_STORE)
        self.associations[-1].append(str(event.request.AffectedSOPInstanceUID))
        return status
