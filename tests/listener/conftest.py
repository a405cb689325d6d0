"""Real peers on loopback, and DICOM files that pydicom brings along."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID, generate_uid
from pynetdicom.association import Association
from pynetdicom.dsutils import split_dataset

from listener.access import AllowedPeer, PeerLimits
from listener.errors import PeerError
from listener.scp import StorageSCP
from listener.scu import Peer, echo
from listener.settings import ListenerSettings
from listener.spool import Spool, TransferInfo, file_header
from tests.conftest import WAIT_LIMIT_S

ANYONE = AllowedPeer("anyone", "", limits=PeerLimits(associations=100))
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class Received:
    """A data set as it stands in a Part 10 file, with what the network would say about it."""

    data: bytes
    transfer: TransferInfo


def bundled(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), name
    return Path(path)


def data_set_of(path: Path) -> bytes:
    return path.read_bytes()[split_dataset(path)[1] :]


def received(path: Path) -> Received:
    meta = split_dataset(path)[0]
    return Received(
        data_set_of(path),
        TransferInfo(
            transfer_syntax_uid=meta.TransferSyntaxUID,
            sop_class_uid=meta.MediaStorageSOPClassUID,
            sop_instance_uid=meta.MediaStorageSOPInstanceUID,
            calling_ae_title="MODALITY",
            receiving_ae_title="NODE",
        ),
    )


def write_part10(
    path: Path, data: bytes, *, sop_instance_uid: str, sop_class_uid: str = CT
) -> Path:
    """Write whatever bytes as a file that a sender will announce under these UIDs."""
    header = file_header(TransferInfo(EXPLICIT, sop_class_uid, sop_instance_uid, "SENDER", "NODE"))
    path.write_bytes(header + data)
    return path


@pytest.fixture
def make_ct(tmp_path: Path) -> Callable[..., Path]:
    """Make a small CT instance of a study."""
    template = pydicom.dcmread(bundled("CT_small.dcm"))
    folder = tmp_path / "made"
    folder.mkdir()

    def make(study: str, series: str, *, sop: str | None = None, shade: int = 0) -> Path:
        template.StudyInstanceUID = study
        template.SeriesInstanceUID = series
        template.SOPInstanceUID = template.file_meta.MediaStorageSOPInstanceUID = UID(
            sop or generate_uid()
        )
        template.InstanceNumber = shade
        path = folder / f"{template.SOPInstanceUID}-{shade}.dcm"
        template.save_as(path)
        return path

    return make


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as opened:
        yield opened


@pytest.fixture
def start_scp(spool: Spool) -> Iterator[Callable[..., StorageSCP]]:
    with ExitStack() as stack:

        def start(
            on_stored=None,
            *,
            into: Spool | None = None,
            ended=None,
            commitment=None,
            on_commitment=None,
            findable=None,
            **settings: Any,
        ) -> StorageSCP:
            chosen: dict[str, Any] = {
                "ae_title": "NODE",
                "port": 0,
                "min_free_bytes": 0,
                "stop_timeout_s": 5.0,
                "anonymous_peer": None if "peers" in settings else ANYONE,
            }
            scp = StorageSCP(
                ListenerSettings(**(chosen | settings)),
                into or spool,
                on_stored,
                on_association_end=ended,
                commitment=commitment,
                on_commitment=on_commitment,
                findable=findable,
            )
            return stack.enter_context(scp)

        yield start


def peer_of(scp: StorageSCP, *, calling: str = "MODALITY") -> Peer:
    return Peer("NODE", "127.0.0.1", scp.port, calling_ae_title=calling, dimse_timeout_s=60)


def acceptor_of(association: Association) -> Association:
    """Our end of an association that a test has opened to a node in this process."""
    transport = association.dul.socket
    assert transport is not None
    assert transport.socket is not None
    port = transport.socket.getsockname()[1]
    (found,) = (
        thread
        for thread in threading.enumerate()
        if isinstance(thread, Association) and thread.is_acceptor and thread.requestor.port == port
    )
    return found


def dcmtk(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"DCMTK's {tool} is not installed (Debian package dcmtk)")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(peer: Peer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + WAIT_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            echo(peer)
        except PeerError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"{peer} did not come up")


@dataclass(frozen=True)
class Pacs:
    """pynetdicom's qrscp, and the port on which it will look for the destination NODE."""

    peer: Peer
    destination_port: int


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """One PACS for a module: a test that counts uses studies of its own."""
    port, destination_port = free_port(), free_port()
    folder = tmp_path_factory.mktemp("pacs")
    config = folder / "qrscp.ini"
    config.write_text(
        f"""[DEFAULT]
ae_title: PACS
port: {port}
max_pdu: 131072
acse_timeout: 60
dimse_timeout: 60
network_timeout: 60
bind_address: 127.0.0.1
instance_location: {folder / "instances"}
database_location: {folder / "index.sqlite"}
log_identifier: False
[NODE]
address: 127.0.0.1
port: {destination_port}
"""
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pynetdicom", "qrscp", "-q", "-c", str(config)], cwd=folder
    )
    peer = Peer("PACS", "127.0.0.1", port, calling_ae_title="NODE", dimse_timeout_s=60)
    try:
        wait_for(peer, process)
        yield Pacs(peer, destination_port)
    finally:
        process.terminate()
        process.wait(timeout=60)
