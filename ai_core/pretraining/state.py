"""A run's checkpoint: one safetensors file, sealed, written whole or not at all."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ai_core.errors import PretrainingError
from ai_core.files import write_bytes
from ai_core.storage import tensors_sha256

STATE_FILE = "checkpoint.safetensors"

_KEY = "pretraining"
_LENGTH_BYTES = 8


def save_state(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    """Write a checkpoint.

    Args:
        path: the file.
        tensors: what was learnt and how; any device.
        description: the rest, as JSON holds it.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    text = json.dumps(description, sort_keys=True)
    sealed = {"description": text, "seal": _seal(plain, text)}
    write_bytes(path, save_tensors(plain, metadata={_KEY: json.dumps(sealed)}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises:
        PretrainingError: there is no such file, or it is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PretrainingError(f"there is no checkpoint to resume from: {error}") from error
    try:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        header = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
        sealed = json.loads(header["__metadata__"][_KEY])
        tensors = load_tensors(data)
        text: str = sealed["description"]
        whole = sealed["seal"] == _seal(tensors, text)
        description: dict[str, Any] = json.loads(text)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise PretrainingError(f"{_damaged(path)} ({error})") from error
    if not whole:
        raise PretrainingError(_damaged(path))
    return tensors, description


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's state of each parameter, under names."""
    return {
        f"optimiser.{number}.{name}": value
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Invert `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        kind, *rest = name.split(".")
        if kind == "optimiser":
            state.setdefault(int(rest[0]), {})[rest[1]] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def _seal(tensors: dict[str, Tensor], text: str) -> str:
    return hashlib.sha256(f"{tensors_sha256(tensors)}{text}".encode()).hexdigest()


def _damaged(path: Path) -> str:
    return f"the checkpoint {path} is damaged; start the run again in an empty folder"
