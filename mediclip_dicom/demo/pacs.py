"""The demonstration's PACS: pynetdicom's own qrscp application in a process of its own."""

import configparser
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as StudyFind,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet as StudyGet,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelMove as StudyMove,
)
from pynetdicom.sop_class import Verification

from mediclip_dicom.demo.errors import PacsError

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 5.0
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SeriesInPacs:
    """One series as the PACS lists it.

    Attributes:
        series_instance_uid: Series Instance UID.
        modality: Modality, such as MR, SEG or SR.
        sop_instance_uids: Its instances.
    """

    series_instance_uid: str
    modality: str
    sop_instance_uids: tuple[str, ...]


class DemoPacs:
    """A Query/Retrieve SCP on loopback, in a temporary folder, gone when the context ends.

    Args:
        destinations: AE title to (host, port) of each peer that it may C-MOVE to.
        ae_title: Its own AE title.
        port: Its port; a free one when 0.
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
        self.port = port or _free_port()
        self._destinations = dict(destinations)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DemoPacs":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start and wait until it answers C-ECHO.

        Raises:
            PacsError: It ended or did not answer in time; with the end of its log.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="mediclip-demo-pacs-")
        root = Path(self._folder.name)
        self._write_config(root)
        command = [sys.executable, "-m", "mediclip_dicom.demo.qrscp_process"]
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
        """Store files by C-STORE, and see that the PACS lists them.

        Raises:
            PacsError: An instance was refused, or accepted and then not indexed.
        """
        headers = [dcmread(path, stop_before_pixels=True) for path in paths]
        syntaxes = {(h.SOPClassUID, h.file_meta.TransferSyntaxUID) for h in headers}
        with self._associate(syntaxes) as association:
            for path in paths:
                _require_success(association.send_c_store(path), "C-STORE")
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
            PacsError: The destination is unknown, away, or refused an instance.
        """
        query = _study_query(study_uid)
        with self._associate({(StudyMove, None)}) as association:
            status = _last_status(association.send_c_move(query, destination_ae, StudyMove))
        _require_success(status, "C-MOVE")
        return int(status.get("NumberOfCompletedSuboperations", 0))

    def find_series(self, study_uid: str) -> tuple[SeriesInPacs, ...]:
        """List a study's series and their instances by C-FIND at series and image level."""
        query = _study_query(study_uid)
        query.QueryRetrieveLevel = "SERIES"
        query.SeriesInstanceUID = ""
        query.Modality = ""
        found = []
        with self._associate({(StudyFind, None)}) as association:
            # qrscp answers once per instance at every level.
            modalities = {
                str(m.SeriesInstanceUID): str(m.Modality) for m in _matches(association, query)
            }
            for series_uid, modality in sorted(modalities.items()):
                image = _study_query(study_uid)
                image.QueryRetrieveLevel = "IMAGE"
                image.SeriesInstanceUID = series_uid
                image.SOPInstanceUID = ""
                uids = sorted(str(m.SOPInstanceUID) for m in _matches(association, image))
                found.append(SeriesInPacs(series_uid, modality, tuple(uids)))
        return tuple(found)

    def retrieve(
        self, study_uid: str, directory: Path, *, modalities: Collection[str] | None = None
    ) -> tuple[Path, ...]:
        """Fetch a study's objects by C-GET into a folder.

        Args:
            study_uid: Study Instance UID.
            directory: Where the files go, named by SOP Instance UID; made if missing.
            modalities: Only series of these; all when None.

        Raises:
            PacsError: The PACS could not give all it lists.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths: list[Path] = []

        def keep(event: evt.Event) -> int:
            path = directory / f"{event.request.AffectedSOPInstanceUID}.dcm"
            path.write_bytes(event.encoded_dataset())
            paths.append(path)
            return 0x0000

        for series in self.find_series(study_uid):
            if modalities is not None and series.modality not in modalities:
                continue
            query = _study_query(study_uid)
            query.QueryRetrieveLevel = "SERIES"
            query.SeriesInstanceUID = series.series_instance_uid
            with self._associate({(StudyGet, None)}, keep=keep) as association:
                status = _last_status(association.send_c_get(query, StudyGet))
            _require_success(status, "C-GET")
        return tuple(sorted(paths))

    @contextmanager
    def _associate(
        self, contexts: Collection[tuple[str, str | None]], *, keep: object = None
    ) -> Iterator[Association]:
        ae = AE("DEMO")
        for abstract, syntax in sorted(contexts, key=str):
            ae.add_requested_context(abstract, syntax)
        roles, handlers = [], []
        if keep is not None:
            for abstract in _storage_classes():
                ae.add_requested_context(abstract)
                roles.append(build_role(abstract, scp_role=True))
            handlers = [(evt.EVT_C_STORE, keep)]
        association = ae.associate(
            self.host, self.port, ae_title=self.ae_title, ext_neg=roles, evt_handlers=handlers
        )
        if not association.is_established:
            raise PacsError(f"the PACS at {self.host}:{self.port} accepts no association")
        try:
            yield association
        finally:
            association.release()

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
                with self._associate({(Verification, None)}) as association:
                    _require_success(association.send_c_echo(), "C-ECHO")
                return
            time.sleep(0.1)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise PacsError(f"the PACS did not start on {self.host}:{self.port}; its log ends:\n{tail}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _storage_classes() -> tuple[str, ...]:
    from pydicom import uid

    return (
        uid.MRImageStorage,
        uid.CTImageStorage,
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.UltrasoundImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.SegmentationStorage,
        uid.Comprehensive3DSRStorage,
    )


def _study_query(study_uid: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.StudyInstanceUID = study_uid
    return query


def _last_status(responses: Iterator[tuple[Dataset, Dataset | None]]) -> Dataset:
    """Return the final response of an operation; the ones before it only count progress."""
    return [status for status, _ in responses][-1]


def _matches(association: Association, query: Dataset) -> Iterator[Dataset]:
    for status, match in association.send_c_find(query, StudyFind):
        if status.get("Status") in (0xFF00, 0xFF01):
            yield match
        else:
            _require_success(status, "C-FIND")


def _require_success(status: Dataset, operation: str) -> None:
    code = status.get("Status")
    failed = int(status.get("NumberOfFailedSuboperations") or 0)
    if code == 0x0000 and not failed:
        return
    answer = "no answer" if code is None else f"status {code:04X}H"
    raise PacsError(f"{operation} with the PACS failed: {answer}, {failed} failed sub-operations")
