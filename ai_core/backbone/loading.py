"""Loading of a backbone: its architecture, its weights, its device and its tapped blocks."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import structlog
import torch
from torch import nn

from ai_core.backbone import bundled, hub
from ai_core.backbone.architecture import Architecture, build_model, read_architecture
from ai_core.backbone.backbone import Backbone
from ai_core.backbone.checkpoint import UNREADABLE, load_checkpoint
from ai_core.backbone.families import nearest_accepted
from ai_core.backbone.names import BUNDLED, EARLIER, PACKAGED_WEIGHTS, UNTRAINED, Precision
from ai_core.backbone.readings import check_tag
from ai_core.backbone.runtime import check_precision
from ai_core.backbone.untrained import UNTRAINED_SEED, initialise_untrained, untrained_config
from ai_core.errors import BackboneUnavailableError, DetectorError

TAPPED_FRACTIONS = (12 / 24, 18 / 24, 24 / 24)
"""Depths at which the paper taps ViT-L/14: blocks 12, 18 and 24 of 24 (MediCLIP, section 3)."""

_DEFAULT_WEIGHTS = "openai"

log = structlog.get_logger()


def load_backbone(
    model: str = "ViT-L-14",
    weights: str = _DEFAULT_WEIGHTS,
    *,
    device: str = "auto",
    cache_dir: Path | str | None = None,
    blocks: Sequence[int] | None = None,
    precision: Literal["auto"] | Precision = "auto",
    seed: int = UNTRAINED_SEED,
    tag: str | None = None,
) -> Backbone:
    """Load a frozen ViT.

    Args:
        model: an open_clip model name, "BiomedCLIP", "RAD-DINO", "timm/" and the name of a DINOv2
            model in timm, "hf-hub:" and a repository with config and weights in open_clip's form,
            or the path of such a config (JSON).
        weights: a tag of the model (kept in the cache folder after the first download), the path
            of a weights file, "bundled" for the small tower in the box, or "untrained" for a
            seeded one without any training. With the last two, ``model`` is not looked at.
            "openai" means QuickGELU, whatever the model's name says.
        device: "auto" (CUDA where there is one), "cpu", "cuda" or "cuda:N".
        cache_dir: where downloaded weights are kept; the model hub's own cache by default.
        blocks: tapped blocks, counted from 1; by default 12, 18, 24 of 24, scaled to the depth.
        precision: "auto" is bf16 on CUDA where it has that; on a CPU with bf16 instructions the
            faster one, provided that the tokens agree. A detector keeps the precision of its
            fit. "fp32" or "bf16" is used for every detector. "int8" is for new detectors, on a
            CPU with OpenVINO; it is never chosen unasked, since its results differ a little more.
            What "auto" measures, at the first use, is kept in the cache folder.
        seed: draws the weights of the untrained tower; unused otherwise.
        tag: of a weights file, where neither the file nor its folder says with which activation
            and normalisation it was trained: a tag of the model, or "earlier" for the reading of
            version 0.1 (the config's activation, CLIP's colours), which detectors of that version
            need.

    Raises:
        UnknownWeightsError: a weights file that several of the model's tags fit; name its tag.
        BackboneUnavailableError: architecture or weights cannot be had on this machine.
        UnsupportedBackboneError: a model whose tokens can't be tapped; nothing was downloaded.
        DetectorError: blocks that the tower does not have, an unknown device, or no int8 here.

    Example:
        >>> from ai_core import load_backbone
        >>> load_backbone(weights="bundled", device="cpu").blocks
        (2, 3, 4)
        >>> load_backbone(weights="untrained", device="cpu", blocks=(1, 4)).blocks
        (1, 4)
    """
    place = _pick_device(device)
    check_precision(place, precision)
    if weights == UNTRAINED:
        architecture = Architecture(name=UNTRAINED, config=untrained_config())
        built = build_model(architecture)
        initialise_untrained(built, seed=seed)
    elif weights == BUNDLED:
        with bundled.open_files() as (config, file):
            architecture, built = _load_trained(str(config), str(file), cache_dir)
    else:
        architecture, built = _load_trained(model, weights, cache_dir, tag=tag)
    visual: Any = built.visual
    timm = architecture.family.trunk == "timm"
    depth = len(visual.trunk.blocks if timm else visual.transformer.resblocks)
    backbone = Backbone(
        built,
        architecture=architecture,
        weights=weights,
        blocks=tapped_blocks(depth) if blocks is None else _check_blocks(blocks, depth),
        device=place,
        precision=precision,
        # these towers are small, and ask nothing of anybody's cache
        cache=None if weights in PACKAGED_WEIGHTS else hub.cache_folder(cache_dir),
    )
    log.info(
        "backbone.loaded",
        model=backbone.name,
        family=backbone.family.name,
        prompts=backbone.family.prompts,
        weights=weights,
        sha256=backbone.sha256,
        device=str(place),
        blocks=backbone.blocks,
    )
    return backbone


def tapped_blocks(depth: int) -> tuple[int, ...]:
    """Return the blocks to tap, counted from 1: 12, 18, 24 of 24, scaled to ``depth``.

    Raises:
        DetectorError: a tower too shallow for three different blocks.
    """
    blocks = tuple(round(fraction * depth) for fraction in TAPPED_FRACTIONS)
    return _check_blocks(blocks, depth)


def _check_blocks(blocks: Sequence[int], depth: int) -> tuple[int, ...]:
    chosen = tuple(int(block) for block in blocks)
    if (
        not chosen
        or list(chosen) != sorted(set(chosen))
        or not 1 <= chosen[0] <= chosen[-1] <= depth
    ):
        raise DetectorError(
            f"tapped blocks must be different, ascending and within 1…{depth}, not {chosen}"
        )
    return chosen


def _load_trained(
    model: str, weights: str, cache_dir: Path | str | None, *, tag: str | None = None
) -> tuple[Architecture, nn.Module]:
    folder = hub.cache_folder(cache_dir)
    if model.startswith(hub.HUB_PREFIX):
        return _load_from_hub(model, weights, cache_dir, tag=tag)
    file = Path(weights)
    is_file = file.is_file()
    if not is_file and (file.suffix or file.parent != Path()):
        raise BackboneUnavailableError(
            model=model, weights=weights, cache_dir=folder, reason="there is no such file"
        )
    if tag and not is_file and tag != weights:
        raise DetectorError(
            f"the tag {tag!r} is for a weights file, but the weights are the tag {weights!r} itself"
        )
    named = None if tag == EARLIER else tag
    architecture = read_architecture(model, tag=(named or None) if is_file else weights)
    if architecture is None:
        reason = (
            "open_clip knows no such model, and it is no path of an open_clip config; the nearest "
            f"accepted name is {nearest_accepted(model)!r}"
        )
        raise BackboneUnavailableError(
            model=model, weights=weights, cache_dir=folder, reason=reason
        )
    if is_file and named:
        check_tag(architecture.name, tag=named)
    _ = architecture.family  # refused here, before a download
    if not is_file:
        file = hub.find_weights(model=architecture.name, tag=weights, cache_dir=cache_dir)
    return _read(file, architecture, model=model, weights=weights, folder=folder, tag=tag)


def _load_from_hub(
    model: str, weights: str, cache_dir: Path | str | None, *, tag: str | None
) -> tuple[Architecture, nn.Module]:
    """Load open_clip's "hf-hub:" names: a repository with a config and the weights that fit it."""
    if weights not in (_DEFAULT_WEIGHTS, model) and not Path(weights).is_file():
        raise DetectorError(
            f"{model!r} has weights of its own and no tag {weights!r}; leave the weights at "
            f"{_DEFAULT_WEIGHTS!r}, or give the path of a file"
        )
    if tag and tag != EARLIER:
        raise DetectorError(f"{model!r} has a config of its own, so the tag {tag!r} has no meaning")
    config = hub.find_config(model, cache_dir=cache_dir)
    architecture = read_architecture(str(config), tag=None)
    assert architecture is not None  # the file is there
    architecture = replace(architecture, name=model.removeprefix(hub.HUB_PREFIX))
    _ = architecture.family  # refused here, before a download
    file = Path(weights)
    if not file.is_file():
        file = hub.find_repository_weights(model, cache_dir=cache_dir)
    folder = hub.cache_folder(cache_dir)
    return _read(file, architecture, model=model, weights=weights, folder=folder, tag=tag)


def _read(
    file: Path,
    architecture: Architecture,
    *,
    model: str,
    weights: str,
    folder: Path,
    tag: str | None,
) -> tuple[Architecture, nn.Module]:
    try:
        return load_checkpoint(file, architecture, tag=tag)
    except UNREADABLE as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        reason = f"the file {file} does not hold this model ({why})"
        raise BackboneUnavailableError(
            model=model, weights=weights, cache_dir=folder, reason=reason
        ) from error


def _pick_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise DetectorError(f'unknown device {device!r}; use "auto", "cpu" or "cuda"') from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise DetectorError(f"device {device!r} asked for, but torch sees no CUDA device here")
    return chosen
