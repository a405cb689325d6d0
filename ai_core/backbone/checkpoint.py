"""Checkpoint loading: a weights file into an open_clip model."""

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ai_core.backbone.architecture import Architecture, build_model
from ai_core.backbone.untrained import VISION_PREFIX, initialise_text

_NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")

SEEDED_TEXT = "seeded_text"
"""Metadata of a safetensors file that holds a vision tower alone: the seed of its text tower."""

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


def load_checkpoint(file: Path, architecture: Architecture) -> tuple[Architecture, nn.Module]:
    """Build the model and fill it from a file: safetensors, a state dict, or OpenAI's archive.

    OpenAI publishes its towers as TorchScript archives and nobody else does, so such a file
    brings QuickGELU with it. Position embeddings of another resolution are resampled. A
    safetensors file that names a seed under `SEEDED_TEXT` has its text tower drawn from that.

    Raises:
        One of `UNREADABLE`: the file does not hold this model.
    """
    from open_clip.model import resize_pos_embed, resize_text_pos_embed

    archive = _is_torchscript(file)
    if archive:
        architecture = architecture.with_quick_gelu()
    state = _archive_state(file) if archive else _plain_state(file)
    model = build_model(architecture)
    seed = _text_seed(file)
    if seed is not None:
        initialise_text(model, seed=seed)
    own = model.state_dict()
    if seed is not None:
        drawn = {name: own[name] for name in own if not name.startswith(VISION_PREFIX)}
        state = {**drawn, **state}
    for scalar in ("logit_scale", "logit_bias"):
        if scalar in state and scalar in own:
            state[scalar] = state[scalar].reshape(own[scalar].shape)
    if hasattr(model, "text") and "positional_embedding" in state:
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    resize_pos_embed(state, model)
    resize_text_pos_embed(state, model)
    model.load_state_dict(state, strict=True)
    return architecture, model


def _plain_state(file: Path) -> dict[str, Any]:
    from open_clip.factory import load_state_dict

    try:
        state: dict[str, Any] = load_state_dict(str(file), device="cpu", weights_only=True)
    except (AttributeError, TypeError, StopIteration) as error:
        raise ValueError("it holds something else than named tensors") from error
    return dict(state)


def _text_seed(file: Path) -> int | None:
    if file.suffix != ".safetensors":
        return None
    with safe_open(str(file), framework="pt") as opened:
        found = (opened.metadata() or {}).get(SEEDED_TEXT)
    return None if found is None else int(found)


def _archive_state(file: Path) -> dict[str, Any]:
    state = torch.jit.load(str(file), map_location="cpu").state_dict()  # type: ignore[no-untyped-call]
    return {name: value for name, value in state.items() if name not in _NOT_WEIGHTS}


def _is_torchscript(file: Path) -> bool:
    import zipfile

    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
