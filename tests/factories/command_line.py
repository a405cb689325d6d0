"""A command's end as a test sees it, and the configuration file that it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mediclip_dicom.settings import Settings


@dataclass(frozen=True)
class Said:
    """How a command ended and everything that it printed or logged."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it, line breaks of tables and wrapped messages taken out."""
        return " ".join((self.out + " " + self.err).split())


Cli = Callable[..., Said]


def write_config(settings: Settings, path: Path, *, extra: str = "") -> Path:
    """The settings that the tests change, as the file that an administrator writes."""
    sections: dict[str, dict[str, object]] = {
        "node": {"host": settings.node.host, "port": settings.node.port, "open": True},
        "storage": {"root": str(settings.storage.root), "min_free_mb": 1},
        "backbone": {"model": "untrained", "weights": "untrained", "device": "cpu"},
    }
    lines: list[str] = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(v)}" for key, v in values.items())]
    path.write_text("\n".join(lines) + "\n" + extra)
    return path
