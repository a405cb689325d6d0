"""Settings of the model (MediCLIP Eq. 1 and 2, patch bank); importable without torch."""

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt, with_config

from ai_core.stored import STRICT

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
    """The patch bank, whose deviation is added to log(S_a / S_n).

    Attributes:
        size: most patches that the bank keeps.
        weight: log-odds for each standard deviation above the normal distance.
        blocks: which of the tapped blocks are compared.
        place_weight: penalty on the cosine, place_weight x (distance / image side)²; 0 ignores
            position.
    """

    size: PositiveInt = 4096
    weight: NonNegativeFloat = 1.0
    blocks: Literal["all", "middle"] = "all"
    place_weight: NonNegativeFloat = 0.0
