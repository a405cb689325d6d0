"""Families of backbones, recognised from a config alone: nothing is built and nothing downloaded.

A family decides on the trunk's runner, on learnable prompts or free text vectors, and on the way
to 224 pixels. A config of no family is refused with the reason.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ai_core.backbone.published import PUBLISHED
from ai_core.errors import UnsupportedBackboneError
from ai_core.images import IMAGE_SIZE

TIMM_PREFIX = "timm/"
"""Prefix of a model of timm in the settings, as in "timm/vit_base_patch14_dinov2"."""

Resolution = Literal["native", "enlarged", "resampled"]
"""Way to a tower that was trained at another size than 224 pixels: none needed, images enlarged to
the trained size, or position embeddings resampled to the grid of 224 pixels."""

_SIZE = re.compile(r"_(\d{3})$")
_TIMM_FAMILIES = (
    ("SigLIP", re.compile(r"vit_[a-z0-9]+_patch\d+_siglip(_gap)?_\d{3}")),
    ("DINOv2", re.compile(r"vit_(small|base|large|giant)_patch14_(reg4_)?dinov2")),
    ("PE-Core", re.compile(r"vit_pe_core_[a-z]+_patch\d+_\d{3}")),
    ("EVA", re.compile(r"eva02_[a-z]+_patch\d+_clip_\d{3}|eva_giant_patch14_(clip_)?\d{3}")),
    ("MobileCLIP", re.compile(r"vit_base_mci_224")),
    ("timm ViT", re.compile(r"vit_[a-z0-9]+_patch\d+_(clip_(quickgelu_)?|gap_)?\d{3}")),
)
_DINOV2_SIZE = 518
_REFUSED_TRUNKS = (
    (r"convnext|fastvit|vitamin|resnet", "its trunk {} is built of convolutions"),
    (r"swin", "its trunk {} merges patches from stage to stage"),
    (r"relpos", "its trunk {} has relative positions"),
)


@dataclass(frozen=True, slots=True)
class Family:
    """Kind of a backbone, as far as it decides how it is run.

    Attributes:
        name: for people: "open_clip ViT", "SigLIP", "DINOv2", "EVA", "PE-Core", "MobileCLIP" or
            "timm ViT".
        trunk: library that the vision tower comes from.
        prompts: learnable prompts pass the model's own text tower; False for two free text vectors.
        no_prompts_because: reason for the free vectors; empty where there are prompts.
        trained_size: side of the images that the tower was trained on, in pixels.
        resolution: way from 224 pixels to that size.
    """

    name: str
    trunk: Literal["open_clip", "timm"]
    prompts: bool
    no_prompts_because: str
    trained_size: int
    resolution: Resolution

    @property
    def projects_patches(self) -> bool:
        """Whether the tower's own final norm and projection bring patch tokens to the text."""
        return self.trunk == "open_clip" and self.prompts

    @property
    def warning(self) -> str:
        """Reason to prefer another model; empty where there is none."""
        if self.trunk == "timm" or self.resolution != "resampled":
            return ""
        return f"it was trained at {self.trained_size} pixels, choose one of {IMAGE_SIZE}"

    def describe(self) -> str:
        """Describe the family in one line, for the log and for checks."""
        trunk = "" if self.trunk == "open_clip" else ", timm trunk"
        text = "" if self.prompts else f", free text vectors ({self.no_prompts_because})"
        size = {
            "native": "",
            "enlarged": f", images enlarged to its {self.trained_size} pixels",
            "resampled": f", positions resampled from {self.trained_size} to {IMAGE_SIZE} pixels",
        }[self.resolution]
        return f"family {self.name}{trunk}{text}{size}"


def recognise(name: str, config: Mapping[str, Any]) -> Family:
    """Recognise the family of an open_clip config.

    Args:
        name: the model's name, for the message.
        config: as open_clip's JSON files; ``text_cfg`` may be missing.

    Raises:
        UnsupportedBackboneError: no family; with the reason and the nearest accepted name.
    """
    found = _recognise(config)
    if isinstance(found, str):
        raise UnsupportedBackboneError(name, reason=found, nearest=nearest_accepted(name))
    return found


def _recognise(config: Mapping[str, Any]) -> Family | str:
    """Return the family, or the reason why there is none."""
    vision = config["vision_cfg"]
    why_free = _why_free_vectors(config)
    trunk = vision.get("timm_model_name")
    if trunk is None:
        return _open_clip_family(vision, why_free)
    for name, pattern in _TIMM_FAMILIES:
        if pattern.fullmatch(trunk):
            return _timm_family(name, trunk, why_free)
    for kind, reason in _REFUSED_TRUNKS:
        if re.search(kind, trunk):
            return f"{reason.format(trunk)}, so it has no patches of one size to tap"
    return f"its trunk {trunk} is of no family that was tested here"


def _open_clip_family(vision: Mapping[str, Any], why_free: str) -> Family | str:
    if not isinstance(vision.get("layers", 12), int):
        return "its tower is a ResNet: only ViT towers have patch tokens that can be tapped"
    size = vision.get("image_size", IMAGE_SIZE)
    trained = int(size if isinstance(size, int) else size[0])
    return Family(
        name="open_clip ViT",
        trunk="open_clip",
        prompts=not why_free,
        no_prompts_because=why_free,
        trained_size=trained,
        resolution="native" if trained == IMAGE_SIZE else "resampled",
    )


def _timm_family(name: str, trunk: str, why_free: str) -> Family:
    size = _SIZE.search(trunk)
    trained = int(size[1]) if size else _DINOV2_SIZE
    if trained == IMAGE_SIZE:
        resolution: Resolution = "native"
    else:  # DINOv2 was trained to have its positions resampled; the others were not
        resolution = "resampled" if name == "DINOv2" else "enlarged"
    return Family(
        name=name,
        trunk="timm",
        prompts=not why_free,
        no_prompts_because=why_free,
        trained_size=trained,
        resolution=resolution,
    )


def _why_free_vectors(config: Mapping[str, Any]) -> str:
    """Return the reason why prompts can't pass the text tower; empty where they can."""
    text = config.get("text_cfg")
    if not text:
        return "no text tower"
    if "hf_model_name" in text:
        return f"its text tower {text['hf_model_name']} takes no embedded prompts"
    if "hf_tokenizer_name" in text:
        return f"its tokenizer {text['hf_tokenizer_name']} is not open_clip's own"
    if "multimodal_cfg" in config:
        return "its text tower is a captioner's"
    return ""


@cache
def accepted_names() -> tuple[str, ...]:
    """Return every name that ``load_backbone`` takes: open_clip's, then those of this package."""
    from open_clip.factory import get_model_config, list_models

    known: Iterable[str] = list_models()  # type: ignore[no-untyped-call]
    configs = ((name, get_model_config(name)) for name in known)  # type: ignore[no-untyped-call]
    accepted = [name for name, config in configs if isinstance(_recognise(config), Family)]
    return (*accepted, *PUBLISHED, *_dinov2_names())


def _dinov2_names() -> tuple[str, ...]:
    import timm

    found = timm.list_models("vit_*_patch14*dinov2")
    return tuple(f"{TIMM_PREFIX}{name}" for name in found)


def _is_good_advice(name: str) -> bool:
    """Return whether an accepted name has published weights, at 224 pixels, and no captioner's."""
    from open_clip.factory import get_model_config
    from open_clip.pretrained import list_pretrained_tags_by_model

    config = get_model_config(name)  # type: ignore[no-untyped-call]
    if config is None:  # a name of this package
        return True
    native = recognise(name, config).resolution == "native"
    return native and "multimodal_cfg" not in config and bool(list_pretrained_tags_by_model(name))


def nearest_accepted(name: str) -> str:
    """Return the accepted name that looks most like this one, of those that can be advised."""
    plain = name.lower()
    for known in PUBLISHED:
        if known.lower().replace("-", "") in plain.replace("-", "").replace("_", ""):
            return known
    large = any(word in plain for word in ("large", "vitl", "-l", "_l", "huge", "xl", "giant"))
    if "dino" in plain:
        return f"{TIMM_PREFIX}vit_{'large' if large else 'base'}_patch14_dinov2"
    by_lower = {known.lower(): known for known in accepted_names() if _is_good_advice(known)}
    close = difflib.get_close_matches(plain, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else f"ViT-{'L-14' if large else 'B-16'}"
