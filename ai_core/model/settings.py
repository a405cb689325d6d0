"""Settings of the model (MediCLIP Eq. 1 and 2, patch bank); importable without torch."""

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, with_config

from ai_core.stored import STRICT, Share

Fusion = Literal["softmax-then-mean", "mean-then-softmax"]
"""Order of Eq. 2: the paper's (softmax in each block) or the released code's (one softmax)."""


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class PromptSettings:
    """Prompts made from class tokens (MediCLIP Eq. 1).

    Attributes:
        context: K, the learnable vectors of Eq. 1; 0 leaves plain words, and nothing to learn.
        per_class: every class token has vectors of its own, instead of one set that all share.
        ending: text behind each class token.
        causal: with the text tower's own causal mask; else every position sees all others, the
            empty ones behind the end of the text among them.
        unit_features: bring each prompt's feature to unit length before the mean over its group.
    """

    context: NonNegativeInt = 8
    per_class: bool = False
    ending: str = ""
    causal: bool = True
    unit_features: bool = True


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class PatchBankSettings:
    """The patch bank, whose deviation is added to log(S_a / S_n), or is a term of the blend.

    Attributes:
        size: most patches that the bank keeps.
        weight: log-odds for each standard deviation above the normal distance.
        blocks: which of the tapped blocks are compared.
        place_weight: penalty on the cosine, place_weight x (distance / image side)²; 0 ignores
            position.
        whiten: compare after whitening by the covariance of the support set's patches, with their
            mean variance added to each.
    """

    size: PositiveInt = 4096
    weight: NonNegativeFloat = 1.0
    blocks: Literal["all", "middle"] = "all"
    place_weight: NonNegativeFloat = 0.0
    whiten: bool = False


@with_config(STRICT)
@dataclass(frozen=True, slots=True)
class BlendSettings:
    """Terms of the anomaly map, each in standard deviations of held-out normals.

    The patch bank's weight is its own setting.

    Attributes:
        odds_weight: weight of log(S_a / S_n).
        mirror_weight: weight of the asymmetry between left and right.
        mirror_window: patches along a side of the window about the mirrored place; odd.
        level_share: share of an image's median that is replaced by its deviations from the medians
            of normal images.
    """

    odds_weight: NonNegativeFloat = 1.0
    mirror_weight: NonNegativeFloat = 0.0
    mirror_window: PositiveInt = 5
    level_share: Share = 0.0
