"""Readings of a weights file: the activations and colours that a model's tags have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ai_core.errors import DetectorError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Reading:
    """Facts about weights that their tensors do not show.

    Attributes:
        quick_gelu: activation is QuickGELU, not GELU.
        mean: per-channel mean of the images, for values in [0, 1].
        std: per-channel standard deviation, likewise.
        tags: of the weights that were trained so.
    """

    quick_gelu: bool
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    tags: tuple[str, ...] = ()

    def describe(self) -> str:
        """Describe the reading for a person who has to choose."""
        activation = "QuickGELU" if self.quick_gelu else "GELU"
        mean = ", ".join(f"{value:.3g}" for value in self.mean)
        names = ", ".join(self.tags[:4]) + (", …" if len(self.tags) > 4 else "")
        return f"{activation} with mean {mean}: {names}"


def readings_of(name: str, config: Mapping[str, Any]) -> tuple[Reading, ...]:
    """Return the different readings of an open_clip model's tags; its config's own if none.

    Args:
        name: the model in open_clip's registry.
        config: of the registry.
    """
    from open_clip.pretrained import list_pretrained_tags_by_model

    found: dict[Reading, list[str]] = {}
    for tag in list_pretrained_tags_by_model(name):
        one = reading_of(name, config, tag=tag)
        found.setdefault(replace(one, tags=()), []).append(tag)
    if not found:
        return (Reading(bool(config.get("quick_gelu"))),)
    return tuple(replace(one, tags=tuple(tags)) for one, tags in found.items())


def reading_of(
    name: str,
    config: Mapping[str, Any],
    *,
    tag: str,
    mean: tuple[float, ...] = CLIP_MEAN,
    std: tuple[float, ...] = CLIP_STD,
) -> Reading:
    """Return the reading of one tag; mean and deviation of the family where it names none."""
    from open_clip.pretrained import get_pretrained_cfg

    entry = get_pretrained_cfg(name, tag)
    return Reading(
        quick_gelu=bool(config.get("quick_gelu") or entry.get("quick_gelu") or tag == "openai"),
        mean=tuple(entry.get("mean", mean)),
        std=tuple(entry.get("std", std)),
        tags=(tag,),
    )


def check_tag(name: str, *, tag: str) -> None:
    """Check that a model has weights of this tag.

    Raises:
        DetectorError: it has none; with the tags that it has.
    """
    from open_clip.pretrained import list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(name)
    if tag not in tags:
        known = ", ".join(tags)
        raise DetectorError(
            f"{tag!r} is no tag of {name!r} "
            + (
                f"(known tags: {known})"
                if known
                else "(a config says itself with which activation and colours it was trained)"
            )
            + "; a weights file of your own takes an open_clip config as the model"
        )
