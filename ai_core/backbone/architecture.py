"""Model config in open_clip's form, from its registry, timm's or a file, and the model of it."""

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ai_core.backbone.families import TIMM_PREFIX, Family, nearest_accepted, recognise
from ai_core.backbone.published import PUBLISHED
from ai_core.backbone.readings import CLIP_MEAN as CLIP_MEAN
from ai_core.backbone.readings import CLIP_STD as CLIP_STD
from ai_core.backbone.readings import Reading, reading_of, readings_of
from ai_core.backbone.timm_tower import TimmVision
from ai_core.errors import DetectorError, UnsupportedBackboneError
from ai_core.images import IMAGE_SIZE

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_AS_IT_IS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_COLOURS = {
    "DINOv2": _IMAGENET,
    "MobileCLIP": _AS_IT_IS,
    "PE-Core": _HALVES,
    "SigLIP": _HALVES,
}
"""Mean and deviation of each family that has other colours than CLIP."""

_VISION_KEYS = ("embed_dim", "vision_cfg", "quick_gelu")


@dataclass(frozen=True, slots=True)
class Architecture:
    """An open_clip model config with the colour normalisation that belongs to its weights.

    Attributes:
        name: the model's name in the settings, or the config file's name without its ending.
        config: ``embed_dim``, ``vision_cfg``, and optionally ``text_cfg``, ``quick_gelu`` and
            ``custom_text``, as in open_clip's JSON files.
        mean: per-channel mean of the images, for values in [0, 1].
        std: per-channel standard deviation, likewise.
        readings: activations and colours that a weights file may have; empty where a tag or a
            config has decided.
    """

    name: str
    config: dict[str, Any] = field(hash=False)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    readings: tuple[Reading, ...] = ()

    @property
    def family(self) -> Family:
        """Family that the config belongs to.

        Raises:
            UnsupportedBackboneError: none.
        """
        return recognise(self.name, self.config)

    @property
    def identity(self) -> dict[str, Any]:
        """Config of all that is built: without the text tower where that is left out."""
        if self.family.prompts:
            return self.config
        return {key: self.config[key] for key in _VISION_KEYS if key in self.config}

    def with_quick_gelu(self) -> "Architecture":
        """Return this config with QuickGELU, the activation that OpenAI trained with."""
        return self.with_activation(quick_gelu=True)

    def with_activation(self, *, quick_gelu: bool) -> "Architecture":
        """Return this config with QuickGELU, or with GELU; itself where it has that."""
        if bool(self.config.get("quick_gelu")) == quick_gelu:
            return self
        return replace(self, config={**self.config, "quick_gelu": quick_gelu})

    def read_as(self, reading: Reading) -> "Architecture":
        """Return this config with the activation and colours of a reading, which is final."""
        settled = self.with_activation(quick_gelu=reading.quick_gelu)
        return replace(settled, mean=reading.mean, std=reading.std, readings=())


def read_architecture(model: str, *, tag: str | None) -> Architecture | None:
    """Look up a model by name, or read a config file; None where there is neither.

    Args:
        model: an open_clip name such as "ViT-L-14", "BiomedCLIP", "RAD-DINO", "timm/" and the
            name of a timm model, or the path of a config in open_clip's form (JSON).
        tag: the weights' tag, which decides on activation and normalisation; None for a file.

    Returns:
        With `Architecture.readings` for a file of a model that open_clip has under this name.

    Raises:
        DetectorError: the file is no such config.
        UnsupportedBackboneError: a known model that can't be tapped.
    """
    path = Path(model)
    if path.suffix == ".json":
        return _read_file(path) if path.is_file() else None
    if model in PUBLISHED:
        known = PUBLISHED[model]
        return Architecture(model, deepcopy(known.config), mean=known.mean, std=known.std)
    if model.startswith(TIMM_PREFIX):
        return _timm_architecture(model)
    if ":" in model:  # open_clip would ask a hub or another folder for the architecture
        return None
    return _open_clip_architecture(model.replace("/", "-"), tag=tag)


def _open_clip_architecture(name: str, *, tag: str | None) -> Architecture | None:
    from open_clip.factory import get_model_config
    from open_clip.pretrained import list_pretrained_tags_by_model

    config: dict[str, Any] | None = get_model_config(name)  # type: ignore[no-untyped-call]
    if config is None:
        return None
    family = recognise(name, config)
    mean, std = _colours(family)
    found = Architecture(name=name, config=deepcopy(config), mean=mean, std=std)
    if tag is not None:
        return found.read_as(reading_of(name, config, tag=tag, mean=mean, std=std))
    if family.trunk == "open_clip":
        return replace(found, readings=readings_of(name, config))
    # all weights of such a model were trained on the same colours, so a file's were, too
    tags = list_pretrained_tags_by_model(name)
    if not tags:
        return found
    return found.read_as(reading_of(name, config, tag=tags[0], mean=mean, std=std))


def _timm_architecture(model: str) -> Architecture | None:
    import timm

    name = model.removeprefix(TIMM_PREFIX).partition(".")[0]
    if not timm.is_model(name):
        return None
    config = {"vision_cfg": {"timm_model_name": name, "image_size": IMAGE_SIZE}, "text_cfg": None}
    family = recognise(model, config)
    if family.name != "DINOv2":
        reason = f"of timm's towers without a text tower only DINOv2 is taken, not {family.name}"
        raise UnsupportedBackboneError(model, reason=reason, nearest=nearest_accepted(model))
    mean, std = _colours(family)
    return Architecture(f"{TIMM_PREFIX}{name}", config, mean=mean, std=std)


def _colours(family: Family) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return _COLOURS.get(family.name, (CLIP_MEAN, CLIP_STD))


def _read_file(path: Path) -> Architecture:
    """Read a config file, plain or as the hub wraps it, with its colours."""
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
        config: dict[str, Any] = own.get("model_cfg", own)
        vision = config["vision_cfg"]
        text = config.get("text_cfg") or {}
        complete = isinstance(vision, dict) and isinstance(text, dict)
        # DINOv2 has no text tower and knows its own width
        complete = complete and (
            "dinov2" in vision.get("timm_model_name", "") or ("embed_dim" in config and bool(text))
        )
        colours = own.get("preprocess_cfg") or {}
        given = (
            tuple(map(float, colours.get("mean", ()))),
            tuple(map(float, colours.get("std", ()))),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DetectorError(f"{path} is no open_clip config: {error}") from error
    if not complete:
        raise DetectorError(f"{path} is no open_clip config: embed_dim, vision_cfg or text_cfg")
    name = path.stem
    family = recognise(name, config)
    mean, std = (ours or usual for ours, usual in zip(given, _colours(family), strict=True))
    if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
        raise DetectorError(f"{path} is no open_clip config: mean and std have three values each")
    return Architecture(name=name, config=config, mean=mean, std=std)


class VisionOnly(nn.Module):
    """A model without a text tower; its two text vectors are learnt freely.

    Args:
        visual: the vision tower.
    """

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual


def build_model(architecture: Architecture) -> nn.Module:
    """Build the model with arbitrary weights; nothing is downloaded.

    open_clip's own ViT is built for images of 224 pixels, a timm trunk for the size that it was
    trained on, DINOv2 for 224. A text tower that takes no prompts is left out.

    Raises:
        UnsupportedBackboneError: the model is of no family that can be tapped.
    """
    from open_clip.model import CLIP, CustomTextCLIP, _build_vision_tower

    family = architecture.family
    config = deepcopy(architecture.config)
    vision = config["vision_cfg"]
    quick_gelu = bool(config.get("quick_gelu", False))
    if family.trunk == "open_clip":
        vision["image_size"] = IMAGE_SIZE
    else:
        vision["timm_model_pretrained"] = False
    if family.name == "DINOv2":
        return VisionOnly(TimmVision(vision["timm_model_name"], image_size=IMAGE_SIZE))
    if not family.prompts:
        from open_clip.model import CLIPVisionCfg

        return VisionOnly(
            _build_vision_tower(config["embed_dim"], CLIPVisionCfg(**vision), quick_gelu)
        )
    kind = CustomTextCLIP if config.get("custom_text") else CLIP
    built: nn.Module = kind(
        embed_dim=config["embed_dim"],
        vision_cfg=vision,
        text_cfg=config["text_cfg"],
        quick_gelu=quick_gelu,
    )
    return built
