"""The port to a destination: by C-STORE every answer comes back, and is handed over at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread

from listener import StoreOutcome
from listener.errors import PeerUnreachableError
from mediclip_dicom.delivery import Destination, open_destination
from mediclip_dicom.errors import ConfigError
from mediclip_dicom.settings import DestinationSettings, Settings
from tests.factories.archives import ScriptedArchive
from tests.listener.conftest import bundled


def with_destination(settings: Settings, port: int) -> Settings:
    destination = DestinationSettings(
        name="archive", ae_title="ARCHIVE", host="127.0.0.1", port=port
    )
    return settings.model_copy(update={"destinations": (destination,)})


def test_each_answer_is_handed_over_before_the_next_object_goes_out(settings: Settings) -> None:
    paths: list[Path] = [bundled("CT_small.dcm")]
    seen: list[StoreOutcome] = []
    with ScriptedArchive() as archive:
        archive.answers = [0xB000]
        port = archive.port
        destination: Destination = open_destination(with_destination(settings, port), "archive")
        outcomes = destination.send(paths, on_answer=seen.append)
    assert outcomes == tuple(seen)
    assert [(outcome.sop_instance_uid, outcome.status) for outcome in outcomes] == [
        (str(dcmread(paths[0]).SOPInstanceUID), 0xB000)
    ]


def test_a_destination_that_does_not_listen_is_an_error(settings: Settings) -> None:
    with ScriptedArchive() as archive:
        port = archive.port
    destination = open_destination(with_destination(settings, port), "archive")
    with pytest.raises(PeerUnreachableError):
        destination.send([bundled("CT_small.dcm")], on_answer=lambda _: None)


def test_an_unknown_destination_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no destination 'pacs'"):
        open_destination(settings, "pacs")
