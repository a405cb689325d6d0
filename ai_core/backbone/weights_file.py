"""Weights file of any container as named tensors; a file of another kind is named in words."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

Activation = Literal["quick_gelu", "gelu"]
"""Activation between the two layers of an MLP."""

UNREADABLE = (
    RuntimeError,
    KeyError,
    ValueError,
    OSError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)
"""Exceptions raised by a file that does not hold the model."""

_OPENAI_ENTRIES = ("input_resolution", "context_length", "vocab_size")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_COMPILED = re.compile(r"(^|\.)_orig_mod\.")
_ACTIVATIONS: Mapping[str, Activation] = {"QuickGELU": "quick_gelu", "GELU": "gelu"}
_HEAD_BYTES = 1024
_LENGTH_BYTES = 8
_WEB_PAGE = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<(!doctype|html|head|\?xml|!--)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """Named tensors of a file, and the facts that it states about them.

    Attributes:
        tensors: floating-point ones in float32, under names without a wrapper's prefix.
        activation: computed by a TorchScript archive's own code; None for other files.
        metadata: of a safetensors file.
    """

    tensors: dict[str, Tensor]
    activation: Activation | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_weights(file: Path) -> WeightsFile:
    """Read a safetensors file, a state dict or a TorchScript archive, told by their bytes.

    Prefixes that DistributedDataParallel, torch.compile and training loops put before all names
    are left out. Half-precision tensors become float32, which is exact.

    Raises:
        One of `UNREADABLE`: another kind of file; the message says which, and what to do.
    """
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if reason := _other_kind(head):
        raise ValueError(reason)
    metadata: Mapping[str, str] = {}
    activation: Activation | None = None
    if _is_safetensors(head) or (file.suffix == ".safetensors" and not zipfile.is_zipfile(file)):
        state, metadata = _safetensors(file)
    elif _is_torchscript(file):
        state, activation = _archive(file)
    else:
        state = _state_dict(file)
    return WeightsFile(_plain(state), activation=activation, metadata=metadata)


def _other_kind(head: bytes) -> str:
    """Name a kind of file that is often taken for weights; empty for any other."""
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return (
            "it is a git-lfs pointer, which stands for the weights: run `git lfs pull` in its "
            "repository, or download the file itself"
        )
    if _WEB_PAGE.match(head):
        return (
            "it is a web page (HTML), perhaps of a sign-in or of a file's description: download "
            "the file itself"
        )
    if head.lstrip().startswith(b"{"):
        return "it is JSON text, perhaps the model's config or the index of several files"
    return ""


def _is_safetensors(head: bytes) -> bool:
    return head[_LENGTH_BYTES : _LENGTH_BYTES + 2] == b'{"'


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _safetensors(file: Path) -> tuple[dict[str, Any], Mapping[str, str]]:
    with safe_open(str(file), framework="pt") as opened:
        # of all handles' methods only this one is there in every release
        return {name: opened.get_tensor(name) for name in opened.keys()}, (  # noqa: SIM118
            opened.metadata() or {}
        )


def _archive(file: Path) -> tuple[dict[str, Any], Activation | None]:
    """Read a TorchScript archive: its tensors, and the activation of its own modules.

    Modules keep the name of the class that they were made of. Where none has the name of an
    activation, the three entries of OpenAI's archives mean QuickGELU.
    """
    module: Any = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    state: dict[str, Any] = module.state_dict()
    classes = {getattr(one, "original_name", "") for one in module.modules()}
    found = {activation for name, activation in _ACTIVATIONS.items() if name in classes}
    openai = all(name in state for name in _OPENAI_ENTRIES)
    plain = {name: value for name, value in state.items() if name not in _OPENAI_ENTRIES}
    if len(found) == 1:
        return plain, found.pop()
    return plain, "quick_gelu" if openai else None


def _state_dict(file: Path) -> Any:
    try:
        with file.open("rb") as opened:  # torch reads a path by its ending
            content = torch.load(opened, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "GLOBAL" in str(error):
            raise ValueError(
                "it holds Python objects besides tensors, which could run code and are never "
                "loaded here; save its tensors alone, with torch.save(model.state_dict(), …) or "
                "as .safetensors"
            ) from error
        raise ValueError("it is no file of torch, or a damaged one") from error
    while isinstance(content, Mapping) and not any(
        isinstance(value, Tensor) for value in content.values()
    ):
        inner = next((content[name] for name in _WRAPPERS if content.get(name)), None)
        if not isinstance(inner, Mapping):
            break
        content = inner
    return content


def _plain(state: Any) -> dict[str, Tensor]:
    """Check that these are named tensors; leave out prefixes; bring numbers to float32."""
    named = isinstance(state, Mapping) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    )
    if not named or not state:
        raise ValueError("it holds something else than named tensors")
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in without_prefixes(state).items()
    }


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what training wraps around all names: "module.", "model." and "_orig_mod."."""
    plain = {_COMPILED.sub(r"\1", name): value for name, value in state.items()}
    while prefix := next(
        (one for one in _PREFIXES if all(name.startswith(one) for name in plain)), ""
    ):
        plain = {name.removeprefix(prefix): value for name, value in plain.items()}
    return plain


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse tensors with NaN or infinite values.

    Raises:
        ValueError: with the names of the first ones.
    """
    bad = [
        name
        for name, value in tensors.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        raise ValueError(
            f"it has values that are not finite (NaN or infinite) in {listed(bad)}; it is damaged, "
            "or its training diverged"
        )


def check_names(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Compare names and shapes with those of the model.

    Args:
        state: of the file.
        own: of the model.

    Raises:
        ValueError: with the first names that are missing, unknown or of another shape.
    """
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    shapes = [
        f"{name} is {_shape(state[name])}, not {_shape(own[name])}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    parts = [
        *([f"it lacks {listed(missing)}"] if missing else []),
        *([f"the model has no {listed(unknown)}"] if unknown else []),
        *([listed(shapes)] if shapes else []),
    ]
    if parts:
        raise ValueError("; ".join(parts))


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def listed(names: list[str], *, shown: int = 3) -> str:
    """Join the first names, and count the others."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def recorded_json(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object; empty where it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
