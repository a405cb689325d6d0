"""Checkpoint loading: a weights file into the model of its architecture."""

import math
from pathlib import Path
from typing import Any

import structlog
from torch import Tensor, nn

from ai_core.backbone.architecture import Architecture, build_model
from ai_core.backbone.naming import to_open_clip_names, to_timm_names
from ai_core.backbone.provenance import settle
from ai_core.backbone.untrained import VISION_PREFIX, initialise_text
from ai_core.backbone.weights_file import UNREADABLE, check_finite, check_names, read_weights

__all__ = ["SEEDED_TEXT", "UNREADABLE", "load_checkpoint"]

SEEDED_TEXT = "seeded_text"
"""Metadata of a safetensors file that holds a vision tower alone: the seed of its text tower."""

_TRUNK_PREFIX = f"{VISION_PREFIX}trunk."
_TRUNK_POSITIONS = f"{_TRUNK_PREFIX}pos_embed"
_OWN_POSITIONS = f"{VISION_PREFIX}positional_embedding"

log = structlog.get_logger()


def load_checkpoint(
    file: Path, architecture: Architecture, *, tag: str | None = None
) -> tuple[Architecture, nn.Module]:
    """Build the model and fill it from a file: safetensors, a state dict, or a TorchScript archive.

    Activation and colours are the file's own, as `provenance.settle` finds them. Position
    embeddings of another resolution are resampled, and that is logged, where the family allows it;
    else the file is refused. A safetensors file that names a seed under `SEEDED_TEXT` has its text
    tower drawn from that. Where the architecture has no text tower, or one that takes no prompts,
    only the vision half of the file is read. Names of transformers' CLIPModel are translated.

    Args:
        file: the weights.
        architecture: as `read_architecture` found it.
        tag: `EARLIER`, or None.

    Raises:
        UnknownWeightsError: the file may be one of several models, and nothing says which.
        One of `UNREADABLE`: the file does not hold this model.
    """
    contents = read_weights(file)
    architecture = settle(architecture, file=file, contents=contents, tag=tag)
    state: dict[str, Any] = to_open_clip_names(contents.tensors)
    model = build_model(architecture)
    text_seed = contents.metadata.get(SEEDED_TEXT)
    seed = None if text_seed is None else int(text_seed)
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
    check_names(state, own)
    check_finite(state)
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
