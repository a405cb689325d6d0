"""Orthanc with its DICOMweb plugin, as Debian packages it, on loopback in a folder of its own."""

from __future__ import annotations

import email
import email.policy
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any

from pydicom import dcmread
from pydicom.dataset import FileDataset

from listener import Peer
from mediclip_dicom.cli.demo.pacs import free_port

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin")
PLUGINS = Path("/usr/share/orthanc/plugins")
DICOMWEB = PLUGINS / "libOrthancDicomWeb.so"
GDCM = PLUGINS / "libOrthancGdcm.so"
START_LIMIT_S = 180.0


class Orthanc:
    """A PACS that takes C-STORE and gives WADO-RS; gone when the context ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.http_port, self._dicom_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.peer = Peer("ORTHANC", "127.0.0.1", self._dicom_port, calling_ae_title="TEST")

    def __enter__(self) -> Orthanc:
        plugins = [str(plugin) for plugin in (DICOMWEB, GDCM) if plugin.exists()]
        settings = {
            "Name": "tests",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "HttpPort": self.http_port,
            "DicomAet": "ORTHANC",
            "DicomPort": self._dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "UnknownSopClassAccepted": True,
            "DicomAlwaysAllowStore": True,
            "Plugins": plugins,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full"},
        }
        config = self._folder / "orthanc.json"
        config.write_text(json.dumps(settings))
        with (self._folder / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen([str(PROGRAM), str(config)], stdout=log, stderr=log)
        deadline = time.monotonic() + START_LIMIT_S
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                self.json("/system")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
            else:
                return self
        raise RuntimeError((self._folder / "orthanc.log").read_text()[-2000:])

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def retrieve(self, dataset: FileDataset) -> FileDataset:
        """An instance by WADO-RS (PS3.18 10.4), in the transfer syntax that it was stored in."""
        request = urllib.request.Request(
            f"{self.url}/dicom-web/studies/{dataset.StudyInstanceUID}"
            f"/series/{dataset.SeriesInstanceUID}/instances/{dataset.SOPInstanceUID}",
            headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
            message = email.message_from_bytes(head + answer.read(), policy=email.policy.HTTP)
        (part,) = message.iter_parts()
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        return dcmread(BytesIO(content))
