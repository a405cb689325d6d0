"""open_clip model config, read from open_clip's registry or from a file, and its model."""

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from ai_core.errors import DetectorError
from ai_core.images import IMAGE_SIZE

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Architecture:
    """An open_clip model config with the colour normalisation that belongs to its weights.

    Attributes:
        name: the model's name in open_clip, or the config file's name without its ending.
        config: ``embed_dim``, ``vision_cfg``, ``text_cfg``, and optionally ``quick_gelu`` and
            ``custom_text``, as in open_clip's JSON files.
        mean: per-channel mean of the images, for values in [0, 1].
        std: per-channel standard deviation, likewise.
    """

    name: str
    config: dict[str, Any] = field(hash=False)
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def with_quick_gelu(self) -> "Architecture":
        """Return this config with QuickGELU, the activation that OpenAI trained with."""
        return replace(self, config={**self.config, "quick_gelu": True})


def read_architecture(model: str, *, tag: str | None) -> Architecture | None:
    """Look up an open_clip model by name, or read a config file; None where there is neither.

    Args:
        model: a name such as "ViT-L-14", or the path of an open_clip config (JSON).
        tag: the weights' tag, which decides on activation and normalisation; None for a file.

    Raises:
        DetectorError: the file is no open_clip config.
    """
    from open_clip.factory import get_model_config
    from open_clip.pretrained import get_pretrained_cfg

    path = Path(model)
    if path.suffix == ".json":
        if not path.is_file():
            return None
        return Architecture(name=path.stem, config=_read_config(path))
    name = model.replace("/", "-")
    if ":" in name:  # open_clip would ask a hub or another folder for the architecture
        return None
    config: dict[str, Any] | None = get_model_config(name)  # type: ignore[no-untyped-call]
    if config is None:
        return None
    entry = get_pretrained_cfg(name, tag) if tag else {}
    found = Architecture(
        name=name,
        config=deepcopy(config),
        mean=tuple(entry.get("mean", CLIP_MEAN)),
        std=tuple(entry.get("std", CLIP_STD)),
    )
    return found.with_quick_gelu() if entry.get("quick_gelu") or tag == "openai" else found


def _read_config(path: Path) -> dict[str, Any]:
    try:
        own = json.loads(path.read_text(encoding="utf-8"))
        config: dict[str, Any] = own.get("model_cfg", own)
        complete = "embed_dim" in config and all(
            isinstance(config[part], dict) for part in ("vision_cfg", "text_cfg")
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DetectorError(f"{path} is no open_clip config: {error}") from error
    if not complete:
        raise DetectorError(f"{path} is no open_clip config: embed_dim, vision_cfg or text_cfg")
    return config


def build_model(architecture: Architecture) -> nn.Module:
    """Build the open_clip model with arbitrary weights, for images of 224 pixels.

    Raises:
        DetectorError: the model is no plain ViT, or its text tower is not open_clip's own.
    """
    from open_clip.model import CLIP, CustomTextCLIP

    config = deepcopy(architecture.config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision or not isinstance(vision.get("layers", 12), int):
        raise DetectorError(f"{architecture.name}: only open_clip's own ViT towers can be tapped")
    if "hf_model_name" in text or "hf_tokenizer_name" in text:
        raise DetectorError(f"{architecture.name}: only open_clip's own text towers take prompts")
    vision["image_size"] = IMAGE_SIZE
    kind = CustomTextCLIP if config.get("custom_text") else CLIP
    built: nn.Module = kind(
        embed_dim=config["embed_dim"],
        vision_cfg=vision,
        text_cfg=text,
        quick_gelu=bool(config.get("quick_gelu", False)),
    )
    return built
