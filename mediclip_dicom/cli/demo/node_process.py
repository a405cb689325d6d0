"""Node of the demonstration: `mediclip-dicom serve` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from listener import ListenerError, Peer, echo
from mediclip_dicom.cli.demo.errors import DemoError
from mediclip_dicom.cli.demo.pacs import DemoPacs
from mediclip_dicom.settings import BackboneSettings, Settings

_START_LIMIT_S = 300.0
_STOP_LIMIT_S = 30.0


def write_config(
    root: Path, settings: Settings, backbone: BackboneSettings, *, node_port: int, pacs: DemoPacs
) -> Path:
    """Write the node's configuration into `root`; other settings keep their defaults."""
    sections = {
        "node": {
            "ae_title": settings.node.ae_title,
            "host": "127.0.0.1",
            "port": node_port,
        },
        "storage": {"root": str(root / "node"), "min_free_mb": 256},
        "backbone": backbone.model_dump(mode="json", exclude_none=True),
        "gathering": {"quiet_period_s": 2.0},
    }
    lines: list[str] = []  # JSON's strings, numbers and lists are TOML's, too.
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items()), ""]
    for name, title in (("pacs", pacs.ae_title), ("demo", "DEMO")):
        lines += ["[[peers]]", f'name = "{name}"', f"ae_title = {json.dumps(title)}", ""]
    destination = {"name": "pacs", "ae_title": pacs.ae_title, "host": pacs.host, "port": pacs.port}
    lines += ["[[destinations]]", *(f"{k} = {json.dumps(v)}" for k, v in destination.items())]
    path = root / "config.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


@contextmanager
def running_node(config: Path, settings: Settings, *, log: Path) -> Iterator[None]:
    """Run `mediclip-dicom serve` in a process of its own, as an administrator starts it."""
    command = [sys.executable, "-m", "mediclip_dicom", "--config", str(config), "serve"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=_environment())
    try:
        _wait_until_it_answers(process, settings, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """Return the environment without our overrides: the file is the whole configuration."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MEDICLIP_")}


def _wait_until_it_answers(process: subprocess.Popen[bytes], settings: Settings, log: Path) -> None:
    node = settings.node
    peer = Peer(node.ae_title, "127.0.0.1", node.port, calling_ae_title="DEMO")
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            echo(peer)
        except ListenerError:
            time.sleep(0.5)
        else:
            return
    raise DemoError(f"the node did not start; its log is {log}")
