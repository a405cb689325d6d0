"""Checks of the machine and the peers, which change nothing."""

import errno
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ai_core import DetectorError
from ai_core.backbone import BUNDLED
from listener import ListenerError
from mediclip_dicom.database import connect, is_current, is_known
from mediclip_dicom.delivery import tls_files
from mediclip_dicom.engine import check_sqlite
from mediclip_dicom.errors import NodeError
from mediclip_dicom.node.destination_check import check_destination
from mediclip_dicom.settings import Settings
from mediclip_dicom.tasks import (
    DetectorStore,
    active_tasks,
    get_version,
    incompatible_versions,
    open_backbone,
)


class CheckState(StrEnum):
    """State of a check: ok, warn (works, but look at it), fail (`serve` would not work)."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check: its name, its state, and the finding."""

    what: str
    state: CheckState
    found: str


Finding = tuple[CheckState, str]


def check_node(settings: Settings) -> Iterator[CheckResult]:
    """Run every check in turn; a failed one does not stop the next."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("storage", lambda: _storage(settings)),
        ("database", lambda: _database(settings.database_url)),
        ("workflow database", lambda: _workflow_database(settings.workflow_database_url)),
        ("device", lambda: _device(settings)),
        ("weights", lambda: _weights(settings)),
        ("port", lambda: _port(settings)),
        ("who may send", lambda: _senders(settings)),
        ("TLS", lambda: _tls(settings)),
        *(
            (f"peer {destination.name}", lambda name=destination.name: _peer(settings, name))
            for destination in settings.destinations
        ),
    ]
    if not settings.destinations:
        checks.append(
            ("peers", lambda: (CheckState.WARN, "no [[destinations]]: results stay here"))
        )
    for what, look in checks:
        try:
            state, found = look()
        except (NodeError, DetectorError, ListenerError, SQLAlchemyError, OSError) as error:
            state, found = CheckState.FAIL, str(error)
        yield CheckResult(what, state, found)


def _storage(settings: Settings) -> Finding:
    root = settings.storage.root
    existing = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    free_mb = shutil.disk_usage(existing).free // 2**20
    shown = f"{root}: {free_mb:,} MiB free"
    if not _writable(existing):
        return CheckState.FAIL, (
            f"{existing} is no folder that this user can write to; change its owner, or name "
            "another as [storage] root"
        )
    if free_mb < settings.storage.min_free_mb:
        return CheckState.FAIL, (
            f"{shown}, below [storage] min_free_mb = {settings.storage.min_free_mb}: studies would "
            "be refused; make room"
        )
    if existing is not root:
        shown += " (will be made)"
    return CheckState.OK, shown


def _writable(folder: Path) -> bool:
    probe = folder / ".mediclip-check"
    try:
        probe.touch(exist_ok=False)
    except OSError:
        return False
    probe.unlink()
    return True


def _database(url: str) -> Finding:
    if _is_missing_sqlite(url):
        return CheckState.OK, f"{_shown(url)} (will be made)"
    try:
        engine = connect(url)
        if not is_known(engine):
            return CheckState.FAIL, (
                f"{_shown(url)}: a layout that this version does not know; install the version "
                "that made it, or a newer one"
            )
        if not is_current(engine):
            return CheckState.WARN, (
                f"{_shown(url)}: older layout, brought up to date at the next start"
            )
    except SQLAlchemyError as error:
        return _unusable(url, error, setting="url")
    with Session(engine) as session:
        versions = [get_version(session, task.version_id) for task in active_tasks(session)]
    if not versions:
        return CheckState.WARN, f"{_shown(url)}: no active task; see task register --help"
    names = ", ".join(version.definition.name for version in versions)
    found = f"{_shown(url)}: active tasks {names}"
    outdated = [v.definition.name for v in versions if v.calibration.outdated]
    if outdated:
        return CheckState.WARN, (
            f"{found}; calibrated by the rule of an earlier release, which they keep: "
            f"{', '.join(outdated)}. Register them again for an operating point that holds better"
        )
    return CheckState.OK, found


def _workflow_database(url: str) -> Finding:
    check_sqlite(url)
    if _is_missing_sqlite(url):
        return CheckState.OK, f"{_shown(url)} (will be made)"
    try:
        with connect(url).connect():
            return CheckState.OK, _shown(url)
    except SQLAlchemyError as error:
        return _unusable(url, error, setting="workflow_url")


def _unusable(url: str, error: SQLAlchemyError, *, setting: str) -> Finding:
    reason = getattr(error, "orig", None) or error
    return CheckState.FAIL, f"{_shown(url)} can't be used: {reason}; see [database] {setting}"


def _is_missing_sqlite(url: str) -> bool:
    parsed = make_url(url)
    return (
        parsed.get_backend_name() == "sqlite"
        and bool(parsed.database)
        and not Path(str(parsed.database)).exists()
    )


def _device(settings: Settings) -> Finding:
    if torch.cuda.is_available():
        return CheckState.OK, f"CUDA: {torch.cuda.get_device_name()}"
    if settings.backbone.device.startswith("cuda"):
        return CheckState.FAIL, f"[backbone] device = {settings.backbone.device}: no CUDA device"
    return CheckState.WARN, f"CPU, {torch.get_num_threads()} threads: no CUDA device was found"


def _weights(settings: Settings) -> Finding:
    backbone = open_backbone(settings.backbone)
    found = f"{backbone.name}, {backbone.family.describe()}, sha256 {backbone.sha256[:12]}"
    if not _is_missing_sqlite(settings.database_url):
        engine = connect(settings.database_url)
        if is_current(engine):
            with Session(engine) as session:
                if strangers := incompatible_versions(session, backbone):
                    return CheckState.FAIL, (
                        f"{found} did not fit {'; '.join(strangers)}: set [backbone] to what did, "
                        "or register them again, or retire them"
                    )
            DetectorStore(sessionmaker(engine), backbone).load_active()
    if not backbone.trained:
        return CheckState.WARN, f"{found}: untrained, for demonstration only"
    if backbone.weights == BUNDLED:
        return CheckState.WARN, f"{found}: the small one in the box, for trying the node"
    if backbone.family.warning:
        return CheckState.WARN, f"{found}: {backbone.family.warning}"
    return CheckState.OK, found


def _port(settings: Settings) -> Finding:
    node = settings.node
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((node.host, node.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return CheckState.FAIL, (
                    f"{node.host}:{node.port} can't be listened on ({error.strerror}); set [node] "
                    "host to an address of this machine, or 0.0.0.0, and port to one it may use"
                )
            # A running node holds its own port, and `check` beside it is a fair thing to do.
            return CheckState.WARN, f"{node.host}:{node.port} is taken, by a running node perhaps"
    return CheckState.OK, f"{node.ae_title} at {node.host}:{node.port} is free"


def _senders(settings: Settings) -> Finding:
    names = ", ".join(f"{peer.name} ({peer.ae_title})" for peer in settings.peers)
    if settings.node.open:
        return CheckState.WARN, "anyone, by [node] open; name the senders in [[peers]] instead"
    if not names:
        return CheckState.FAIL, "nobody; name the senders in [[peers]]"
    return CheckState.OK, names


def _tls(settings: Settings) -> Finding:
    files = tls_files(settings)
    if files is None:
        return CheckState.OK, "off"
    files.server_context()
    return CheckState.OK, f"{files.certificate}, TLS {files.minimum_version} or newer"


def _peer(settings: Settings, name: str) -> Finding:
    complete, found = check_destination(settings, name)
    return (CheckState.OK if complete else CheckState.WARN), found


def _shown(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)
