"""PACS of the demonstration: pynetdicom's qrscp application in a process of its own."""

import configparser
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from listener import Lifecycle, Peer, StoreCategory, echo, find, get, move, store
from mediclip_dicom.cli.demo.errors import PacsError

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 5.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SeriesInPacs:
    """Series as the PACS lists it.

    Attributes:
        series_instance_uid: Series Instance UID.
        modality: Modality, such as MR, SEG or SR.
        sop_instance_uids: its instances.
    """

    series_instance_uid: str
    modality: str
    sop_instance_uids: tuple[str, ...]


class DemoPacs(Lifecycle):
    """Query/Retrieve SCP on loopback, in a temporary folder, removed when the context ends.

    Args:
        destinations: AE title to (host, port) of each peer that it may C-MOVE to.
        ae_title: its own AE title.
        port: its port; a free one when 0.
    """

    def __init__(
        self,
        destinations: Mapping[str, tuple[str, int]],
        *,
        ae_title: str = "DEMOPACS",
        port: int = 0,
    ) -> None:
        self.ae_title = ae_title
        self.host = _LOOPBACK
        self.port = port or free_port()
        self._destinations = dict(destinations)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start and wait until it answers C-ECHO.

        Raises:
            PacsError: it ended or did not answer in time; with the end of its log.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="mediclip-demo-pacs-")
        root = Path(self._folder.name)
        self._write_config(root)
        command = [sys.executable, "-m", "mediclip_dicom.cli.demo.qrscp_process"]
        with (root / "qrscp.log").open("wb") as log:
            # Its own session: Ctrl-C reaches us alone, and we stop it in order.
            self._process = subprocess.Popen(
                [*command, "-c", str(root / "qrscp.ini")],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait_for_echo(root / "qrscp.log")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process, at once if it does not listen, and remove the folder."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def store(self, paths: Sequence[Path]) -> None:
        """Store files by C-STORE, and check that the PACS lists them.

        Raises:
            PacsError: an instance was refused, or accepted and then not indexed.
        """
        outcomes = store(self._peer, paths)
        if refused := [o for o in outcomes if o.category is StoreCategory.REFUSED]:
            raise PacsError(
                f"the PACS refused {len(refused)} of {len(outcomes)} instances "
                f"(status {refused[0].status:04X}H)"
            )
        headers = [dcmread(path, stop_before_pixels=True) for path in paths]
        # qrscp answers success even where its index refused the instance.
        for study_uid in {h.StudyInstanceUID for h in headers}:
            listed = {u for s in self.find_series(study_uid) for u in s.sop_instance_uids}
            sent = {h.SOPInstanceUID for h in headers if h.StudyInstanceUID == study_uid}
            if sent - listed:
                raise PacsError(
                    f"the PACS accepted but did not index {len(sent - listed)} of {len(sent)} "
                    f"instances of study {study_uid}; they need a Patient ID, and texts no longer "
                    "than the standard allows"
                )

    def send(self, study_uid: str, destination_ae: str) -> int:
        """Send a study to a destination by C-MOVE; stands in for the auto-route rule.

        Returns:
            How many instances the destination accepted.

        Raises:
            PacsError: the destination refused an instance.
            listener.ListenerError: the destination is unknown or away.
        """
        result = move(self._peer, study_uid, destination_ae)
        if result.status != 0x0000 or result.failed:
            raise PacsError(
                f"C-MOVE to {destination_ae} ended with status {result.status:04X}H, "
                f"{result.failed} failed sub-operations"
            )
        return result.completed

    def find_series(self, study_uid: str) -> tuple[SeriesInPacs, ...]:
        """List a study's series and their instances by C-FIND at series and image level."""
        # qrscp answers once per instance at every level.
        modalities = {
            str(match.SeriesInstanceUID): str(match.Modality)
            for match in find(self._peer, "SERIES", {"StudyInstanceUID": study_uid})
        }
        found = []
        for series_uid, modality in sorted(modalities.items()):
            keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
            uids = {str(match.SOPInstanceUID) for match in find(self._peer, "IMAGE", keys)}
            found.append(SeriesInPacs(series_uid, modality, tuple(sorted(uids))))
        return tuple(found)

    def retrieve(
        self, study_uid: str, directory: Path, *, modalities: Collection[str] | None = None
    ) -> tuple[Path, ...]:
        """Fetch a study's objects by C-GET into a folder.

        Args:
            study_uid: Study Instance UID.
            directory: where the files go, named by SOP Instance UID; made if missing.
            modalities: only series of these; all when None.

        Raises:
            listener.ListenerError: The PACS could not give all it lists.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []
        for series in self.find_series(study_uid):
            if modalities is None or series.modality in modalities:
                uid = series.series_instance_uid
                paths += get(self._peer, study_uid, directory, series_instance_uid=uid)
        return tuple(sorted(paths))

    @property
    def _peer(self) -> Peer:
        return Peer(self.ae_title, self.host, self.port, calling_ae_title="DEMO")

    def _write_config(self, root: Path) -> None:
        config = configparser.ConfigParser(interpolation=None)
        config["DEFAULT"] = {
            "ae_title": self.ae_title,
            "port": str(self.port),
            "max_pdu": "131072",
            "acse_timeout": "30",
            "dimse_timeout": "60",
            "network_timeout": "60",
            "bind_address": self.host,
            "instance_location": str(root / "instances"),
            "database_location": str(root / "instances.sqlite"),
        }
        for ae_title, (host, port) in self._destinations.items():
            config[ae_title] = {"address": host, "port": str(port)}
        with (root / "qrscp.ini").open("w") as file:
            config.write(file)

    def _wait_for_echo(self, log: Path) -> None:
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with socket.socket() as probe:
                listening = probe.connect_ex((self.host, self.port)) == 0
            if listening:
                echo(self._peer)
                return
            time.sleep(0.1)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise PacsError(f"the PACS did not start on {self.host}:{self.port}; its log ends:\n{tail}")


def free_port() -> int:
    """Return a TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
