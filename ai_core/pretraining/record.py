"""Record of a run: its inputs, settings and losses."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ai_core.backbone import Backbone
from ai_core.files import write_bytes
from ai_core.pretraining.distillation import Losses
from ai_core.pretraining.exclusion import Exclusion, sha256_of
from ai_core.pretraining.pictures import Pictures
from ai_core.pretraining.settings import PretrainingSettings
from ai_core.pretraining.student import CONFIG_FILE, WEIGHTS_FILE

RECORD_FILE, LOSS_FILE = "record.json", "loss.csv"

_PACKAGES = ("open_clip_torch", "numpy", "pillow", "safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class LossRow:
    """One update's losses.

    Attributes:
        step: the update's number, from 1.
        losses: what it saw.
        learning_rate: what it was made with.
    """

    step: int
    losses: Losses
    learning_rate: float

    def to_list(self) -> list[float]:
        """Return the values as a checkpoint holds them."""
        losses = self.losses
        parts = (losses.total, losses.tokens, losses.embedding, losses.difference)
        return [self.step, *parts, self.learning_rate]

    @classmethod
    def from_list(cls, values: list[float]) -> "LossRow":
        """Invert `to_list`."""
        step, *parts, rate = values
        return cls(step=int(step), losses=Losses(*parts), learning_rate=rate)


def write_losses(folder: Path, rows: list[LossRow]) -> None:
    """Write one row for each update."""
    lines = ["step,loss,tokens,embedding,difference,learning_rate"]
    for row in rows:
        step, *values = row.to_list()
        lines.append(",".join([str(step), *(f"{value:.6g}" for value in values)]))
    write_bytes(folder / LOSS_FILE, ("\n".join(lines) + "\n").encode())


def make_record(
    pictures: Pictures,
    *,
    exclusion: Exclusion,
    teacher: Backbone,
    settings: PretrainingSettings,
    start: dict[str, str] | None,
    seconds: float,
    last: LossRow,
    folder: Path,
) -> dict[str, Any]:
    """Describe the origin of a student, ready for JSON."""
    return {
        "teacher": {
            "name": teacher.name,
            "weights": Path(teacher.weights).name,
            "sha256": teacher.sha256,
            "blocks": list(teacher.blocks),
            "precision": teacher.precision,
            "trained": teacher.trained,
        },
        "start": start,
        "student": {name: sha256_of(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE)},
        "pictures": {
            "used": len(pictures),
            "sha256": pictures.sha256,
            "sources": [{**asdict(count), "used": count.used} for count in pictures.counts],
        },
        "exclusion": {"digests": len(exclusion.digests), "lists": list(exclusion.lists)},
        "settings": settings.to_dict(),
        "steps": settings.steps,
        "batch": settings.batch,
        "seed": settings.seed,
        "seconds": round(seconds, 1),
        "last_losses": asdict(last.losses),
        "device": str(teacher.device),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{package: version(package) for package in _PACKAGES},
        },
    }


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write the record, whole or not at all."""
    write_bytes(folder / RECORD_FILE, (json.dumps(record, indent=2) + "\n").encode())
