"""Provenance of a weights file: the activation and colours it was trained with, or a question.

Tensors do not show either. Both are taken, in this order, from the tag that the user names, a
TorchScript archive's own code, metadata or configs recorded with the file, the file's place in the
hub's cache, its published name, and the tags of the model where they all agree.
"""

from pathlib import Path
from typing import Any

import structlog

from ai_core.backbone.architecture import Architecture
from ai_core.backbone.names import EARLIER
from ai_core.backbone.readings import CLIP_MEAN, CLIP_STD, Reading
from ai_core.backbone.weights_file import WeightsFile, recorded_json
from ai_core.errors import UnknownWeightsError

OPEN_CLIP_CONFIG = "open_clip_config.json"
"""Config in open_clip's form: the file next to the weights, and the metadata entry."""

_METADATA_KEY = "open_clip_config"
_SAME = ("layers", "width", "patch_size")

log = structlog.get_logger()


def settle(
    architecture: Architecture, *, file: Path, contents: WeightsFile, tag: str | None = None
) -> Architecture:
    """Return the architecture with the activation and colours of a file's weights.

    A config that the user gave, or a tag, has decided already; an archive's own code is right even
    then, since it computes what was trained.

    Args:
        architecture: as `read_architecture` found it.
        file: its place.
        contents: its tensors and facts.
        tag: `EARLIER` reads a file as releases did that knew no provenance.

    Raises:
        UnknownWeightsError: the model's tags differ, and nothing says which one this file is.
    """
    if tag == EARLIER:
        return _as_before(architecture, contents)
    settled = _settled(architecture, file=file, contents=contents)
    if contents.activation is not None:
        quick_gelu = contents.activation == "quick_gelu"
        if bool(settled.config.get("quick_gelu")) != quick_gelu:
            log.info("activation.of_archive", model=settled.name, activation=contents.activation)
        return settled.with_activation(quick_gelu=quick_gelu)
    return settled


def _as_before(architecture: Architecture, contents: WeightsFile) -> Architecture:
    family = architecture.family
    colours = (architecture.mean, architecture.std)
    if family.trunk == "open_clip" and family.prompts:
        colours = (CLIP_MEAN, CLIP_STD)
    quick_gelu = bool(architecture.config.get("quick_gelu")) or contents.activation is not None
    return architecture.read_as(Reading(quick_gelu, *colours))


def _settled(architecture: Architecture, *, file: Path, contents: WeightsFile) -> Architecture:
    if not architecture.readings:
        return architecture
    found = _recorded(architecture, file=file, contents=contents) or _by_place(architecture, file)
    if found:
        return architecture.read_as(found)
    possible = architecture.readings
    if contents.activation is not None:
        quick_gelu = contents.activation == "quick_gelu"
        possible = tuple(one for one in possible if one.quick_gelu == quick_gelu)
        if not possible:  # no tag has that activation: the archive is the user's own
            return architecture
    if len({(one.quick_gelu, one.mean, one.std) for one in possible}) > 1:
        raise UnknownWeightsError(
            model=architecture.name,
            weights=str(file),
            choices=[one.describe() for one in possible],
        )
    return architecture.read_as(possible[0])


def _recorded(architecture: Architecture, *, file: Path, contents: WeightsFile) -> Reading | None:
    """Read open_clip's config or transformers' from metadata or the file's folder."""
    texts = [contents.metadata.get(_METADATA_KEY, ""), _text(file.parent / OPEN_CLIP_CONFIG)]
    for text in texts:
        own = recorded_json(text)
        config = own.get("model_cfg", own)
        if isinstance(config, dict) and _is_of(config, architecture):
            colours = _colours(own.get("preprocess_cfg"), "mean", "std")
            return Reading(bool(config.get("quick_gelu", False)), *colours)
    vision = recorded_json(_text(file.parent / "config.json")).get("vision_config")
    if (
        isinstance(vision, dict)
        and "hidden_act" in vision
        and _is_hub_config_of(vision, architecture)
    ):
        images = recorded_json(_text(file.parent / "preprocessor_config.json"))
        colours = _colours(images, "image_mean", "image_std")
        return Reading(vision["hidden_act"] == "quick_gelu", *colours)
    return None


def _is_of(config: dict[str, Any], architecture: Architecture) -> bool:
    ours, theirs = architecture.config["vision_cfg"], config.get("vision_cfg")
    return isinstance(theirs, dict) and all(ours.get(key) == theirs.get(key) for key in _SAME)


def _is_hub_config_of(vision: dict[str, Any], architecture: Architecture) -> bool:
    ours = architecture.config["vision_cfg"]
    theirs = {
        "layers": vision.get("num_hidden_layers", 12),
        "width": vision.get("hidden_size", 768),
        "patch_size": vision.get("patch_size", 32),
    }
    return all(ours.get(key) == value for key, value in theirs.items())


def _colours(found: Any, mean: str, std: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    values = found if isinstance(found, dict) else {}
    return tuple(values.get(mean) or CLIP_MEAN), tuple(values.get(std) or CLIP_STD)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _by_place(architecture: Architecture, file: Path) -> Reading | None:
    """Find the tag whose repository the hub's cache has the file of, or whose published name.

    A published name counts only where it names its tag: "ViT-B-32.pt" may be anything.
    """
    from open_clip.pretrained import get_pretrained_cfg

    for reading in architecture.readings:
        for tag in reading.tags:
            entry = get_pretrained_cfg(architecture.name, tag)
            repository = str(entry.get("hf_hub") or "").rpartition("/")[0]
            place = f"models--{repository.replace('/', '--')}"
            published = str(entry.get("url") or "").rpartition("/")[2]
            if repository and place in file.parts:
                return reading
            if published and tag in published and published == file.name:
                return reading
    return None
