"""Checkpoint loading: a weights file into the model of its architecture."""

import math
import pickle
from pathlib import Path
from typing import Any

import structlog
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ai_core.backbone.architecture import Architecture, build_model
from ai_core.backbone.naming import to_timm_names
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

_TRUNK_PREFIX = f"{VISION_PREFIX}trunk."
_TRUNK_POSITIONS = f"{_TRUNK_PREFIX}pos_embed"
_OWN_POSITIONS = f"{VISION_PREFIX}positional_embedding"

log = structlog.get_logger()


def load_checkpoint(file: Path, architecture: Architecture) -> tuple[Architecture, nn.Module]:
    """Build the model and fill it from a file: safetensors, a state dict, or OpenAI's archive.

    OpenAI publishes its towers as TorchScript archives and nobody else does, so such a file
    brings QuickGELU with it. Position embeddings of another resolution are resampled, and that is
    logged, where the family allows it; else the file is refused. A safetensors file that names a
    seed under `SEEDED_TEXT` has its text tower drawn from that. Where the architecture has no text
    tower, or one that takes no prompts, only the vision half of the file is read.

    Raises:
        One of `UNREADABLE`: the file does not hold this model.
    """
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
    if not architecture.family.prompts:
        state = _vision_state(state, own)
    elif hasattr(model, "text") and "positional_embedding" in state:
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    _fit_positions(state, model, architecture)
    model.load_state_dict(state, strict=True)
    return architecture, model


def _vision_state(state: dict[str, Any], own: dict[str, Tensor]) -> dict[str, Any]:
    """Return the vision half of a state, or a bare trunk's under the names that it has in ours."""
    if any(name.startswith(VISION_PREFIX) for name in state):
        return {name: state[name] for name in state if name.startswith(VISION_PREFIX)}
    if _TRUNK_POSITIONS not in own:
        return state
    return {f"{_TRUNK_PREFIX}{name}": tensor for name, tensor in to_timm_names(state).items()}


def _fit_positions(state: dict[str, Any], model: Any, architecture: Architecture) -> None:
    """Bring position embeddings to the model's grid where its family allows that.

    Raises:
        ValueError: a timm trunk was trained at another resolution.
    """
    from open_clip.model import resize_pos_embed, resize_text_pos_embed

    if architecture.family.trunk == "timm":
        _fit_trunk_positions(state, model.visual.trunk, architecture)
    else:
        before = state.get(_OWN_POSITIONS)
        resize_pos_embed(state, model)
        if before is not None and before.shape != state[_OWN_POSITIONS].shape:
            _log_resampled(architecture, cells=len(before) - 1, grid=model.visual.grid_size[0])
    if architecture.family.prompts:
        resize_text_pos_embed(state, model)


def _fit_trunk_positions(state: dict[str, Any], trunk: Any, architecture: Architecture) -> None:
    from timm.layers.pos_embed import resample_abs_pos_embed

    found, wanted = state.get(_TRUNK_POSITIONS), trunk.pos_embed
    if found is None or wanted is None or found.shape == wanted.shape:
        return
    prefix = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
    cells, grid = found.shape[1] - prefix, trunk.patch_embed.grid_size
    if architecture.family.resolution != "resampled":
        side = math.isqrt(cells)
        raise ValueError(
            f"its positions are those of a {side}x{side} grid, not {grid[0]}x{grid[1]}: it was "
            f"trained at another resolution, so choose the model of that one"
        )
    state[_TRUNK_POSITIONS] = resample_abs_pos_embed(
        found.float(), new_size=list(grid), num_prefix_tokens=prefix
    )
    _log_resampled(architecture, cells=cells, grid=grid[0])


def _log_resampled(architecture: Architecture, *, cells: int, grid: int) -> None:
    log.warning(
        "positions.resampled", model=architecture.name, from_grid=math.isqrt(cells), to_grid=grid
    )


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
