"""Methods to compare: MediCLIP under a preset, its ablations, and two baselines."""

from ai_core.evaluation.methods.ablation import (
    ablations,
)
from ai_core.evaluation.methods.baselines import (
    NearestNeighbour,
    ZeroShot,
    baselines_for,
)
from ai_core.evaluation.methods.mediclip import (
    Fitted,
    Mediclip,
    Method,
    Scored,
)

__all__ = [
    "Fitted",
    "Mediclip",
    "Method",
    "NearestNeighbour",
    "Scored",
    "ZeroShot",
    "ablations",
    "baselines_for",
]
